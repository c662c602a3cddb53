"""README and queries tell the truth: their SQL, on a fresh demo, prints what they show."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checkout import LAKE, REPOSITORY, Checkout, make_checkout
from support.private_root import private_root

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
QUERIES = (REPOSITORY / "docs" / "queries.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sql\n(.*?)```\n\n```\n(.*?)```", README + QUERIES, flags=re.DOTALL)


@pytest.fixture(scope="module")
def demo() -> Iterator[Checkout]:
    """The default demo, run once."""
    with private_root() as folder:
        checkout = make_checkout(folder / "root")
        checkout.run(LAKE, "demo")
        yield checkout


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5
    shown = (README + QUERIES).count("```sql")
    assert shown == len(EXAMPLES), "each query shows what it prints"


@pytest.mark.slow
@pytest.mark.guard
@pytest.mark.parametrize(("query", "printed"), EXAMPLES)
def test_a_query_prints_what_the_readme_shows(demo: Checkout, query: str, printed: str) -> None:
    assert demo.run(LAKE, "sql", query).strip() == printed.strip()


def test_every_command_in_the_readme_exists() -> None:
    named = set(re.findall(r"`(?:\.venv/bin/)?lake ([a-z-]+)", README))
    for command in sorted(named):
        run = subprocess.run([LAKE, command, "--help"], capture_output=True, text=True)
        assert run.returncode == 0, f"lake {command}: {run.stderr}"
    targets = set(re.findall(r"\bmake ([a-z-]+)", README))
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_every_link_and_folder_in_the_readme_exists() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target
    folders = README.split("## Folders")[1].split("\n## ")[0]
    for folder in re.findall(r"^\| (`[^|]+/`) \|", folders, flags=re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", folder):
            assert Path(REPOSITORY / name).is_dir(), name
