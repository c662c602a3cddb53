"""A scratch checkout of the whole spine: the real commands in a root of its own.

Here belongs running ``lake`` and ``dbt`` as a user does, and comparing what they published. Here
does not belong data: the demo shop makes it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.publishing import open_published
from lakehouse.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
LAKE = Path(sys.executable).with_name("lake")
DBT = Path(sys.executable).with_name("dbt")
MOMENTS = {
    "dim_campaign": "valid_to",
    "dim_customer": "valid_to",
    "dim_product": "valid_to",
    "fct_customer_status": "as_of",
}
"""Columns of marts that say when an extraction noticed something."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A project root with the real dbt project; ``dsn`` names its source, None the embedded one."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LAKE_", "DBT_"))}
        dsn = self.settings.source_dsn
        named = {"LAKE_ROOT": str(self.settings.root), "COLUMNS": "80"}
        return kept | named | ({"LAKE_SOURCE_DSN": dsn} if dsn else {})

    def start(self, *command: str | Path, **environment: str) -> "subprocess.Popen[str]":
        """Start a command in the checkout's dbt project."""
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=self.settings.dbt_dir,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str | Path, **environment: str) -> str:
        """Run a command that must succeed and return what it printed."""
        process = self.start(*command, **environment)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{command}\n{output}"
        return output

    def extract(self) -> str:
        return self.run(LAKE, "extract")

    def build(self, *arguments: str, **environment: str) -> str:
        return self.run(DBT, "--no-use-colors", "build", *arguments, **environment)


def make_checkout(root: Path, *, source_dsn: str | None = None) -> Checkout:
    """Copy the dbt project and the list of tables below a new root."""
    ignored = shutil.ignore_patterns("target", "logs")
    shutil.copytree(REPOSITORY / "dbt_project", root / "dbt_project", ignore=ignored)
    copy_sources(root)
    return Checkout(Settings(root=root, source_dsn=source_dsn))


def copy_sources(root: Path) -> None:
    """Copy the list of tables below a root."""
    target = root / "ingest" / "sources.yml"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "ingest" / "sources.yml", target)


def raw_bytes(settings: Settings) -> Mapping[str, str]:
    """Every file of the raw layer by its relative path, with a checksum of its bytes."""
    return {
        str(path.relative_to(settings.raw_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(settings.raw_dir.rglob("*"))
        if path.is_file()
    }


def leftovers(settings: Settings) -> list[Path]:
    """Temporary files that somebody forgot."""
    found = []
    for folder in (settings.raw_dir, settings.warehouse_dir):
        found += [path for path in folder.rglob("*") if ".tmp" in path.name or "spill" in path.name]
    return found


def published(settings: Settings, *, marts_only: bool = False) -> dict[str, tuple[object, ...]]:
    """Count and content of every published table, independent of the order of rows.

    Args:
        settings: The project.
        marts_only: Leaves out staging and quarantine, and in the marts the moments at which a
            deletion was noticed and the newest row was seen: what two independent extractions of
            one source agree on.
    """
    with open_published(settings) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables()"
            " where schema_name <> 'lake' order by all"
        ).fetchall()
        found = {}
        for schema, name in tables:
            if marts_only and schema != "marts":
                continue
            moment = MOMENTS.get(name) if marts_only else None
            columns = f"* exclude ({moment})" if moment else "*"
            row = connection.execute(
                f"select count(*), bit_xor(hash(t)), sum((hash(t) >> 1)::bigint)"
                f" from (select {columns} from {schema}.{name}) as t"
            ).fetchone()
            assert row is not None
            found[f"{schema}.{name}"] = row
        return found
