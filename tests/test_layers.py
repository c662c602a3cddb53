"""Imports point one way, and the kernel stands alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

REPOSITORY = Path(__file__).resolve().parents[1]
ABOVE = ("demo", "ingest", "streaming", "orchestration", "dagster", "quixstreams")
FORBIDDEN = {
    "lakehouse": ABOVE,
    "ingest": ("demo", "streaming", "orchestration", "dagster"),
    "streaming": ("demo", "ingest", "orchestration", "dagster"),
}


def test_the_contracts_of_import_linter_hold(capfd: pytest.CaptureFixture[str]) -> None:
    code = lint_imports(config_filename=str(REPOSITORY / "pyproject.toml"), no_cache=True)
    assert code == 0, capfd.readouterr().out


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_importing_every_module_of_a_layer_loads_no_layer_above_it(package: str) -> None:
    """What a static look cannot see: imports in strings, and what the imported import in turn."""
    script = f"""
import importlib, pkgutil, sys
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, {package + "."!r}):
    if not module.name.endswith(("_with_parent", "__main__")):
        importlib.import_module(module.name)
print(*sorted({{name.split(".")[0] for name in sys.modules}} & set({FORBIDDEN[package]!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
