"""The rows that data tests have found, kept where looking at them needs nobody's lock.

dbt's own ``store_failures`` makes a table of each test at every run, also of those that find
nothing, and in the build file, which only dbt opens. Here the rows of a test that failed or warned
are written as a Parquet file beside it, and removed when the test finds none any more. Here belongs
keeping and finding them. Here does not belong how they are shown (``lakehouse.cli.failures``).
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.dbt.nodes import short_name
from lakehouse.errors import LakeError
from lakehouse.publishing.relations import literal
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb

MOST_ROWS = 10_000
"""Of one test: enough to see a pattern, little enough to cost nothing."""

_FOOTER_KEY = "lake.failures"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRows:
    """What a data test has found.

    Attributes:
        test: The test's short name.
        status: dbt's word: ``fail`` or ``warn``.
        found: How many rows, as the test counts them.
        found_at: When (UTC, ISO 8601).
    """

    test: str
    status: str
    found: int
    found_at: str


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Rows that are kept: what the test found, and the file that holds the first of them."""

    rows: FoundRows
    path: Path


class NoFailureError(LakeError):
    """No test of this name, or more than one, has kept rows."""


def keep_failures(
    connection: "duckdb.DuckDBPyConnection",
    settings: Settings,
    found: Iterable[Mapping[str, Any]],
    *,
    results: Mapping[str, str],
    tests: Iterable[str],
) -> None:
    """Keep the rows of the tests of a run that found some; forget those of the others that ran.

    Args:
        connection: The build file.
        settings: The project.
        found: Of each test that failed or warned: ``unique_id``, ``status``, ``failures`` and the
            ``sql`` that selects the rows.
        results: Unique id to dbt status of all that ran.
        tests: Unique ids of the project's data tests.
    """
    folder = _folder(settings)
    names = {short_name(unique_id) for unique_id in tests}
    ran = {short_name(unique_id) for unique_id in results}
    for path in folder.glob("*.parquet"):
        if path.stem in ran or path.stem not in names:
            path.unlink()
    for test in found:
        _keep(connection, folder, test)


def kept_failures(settings: Settings) -> list[KeptRows]:
    """What is kept, by name; it is current as of the last run of each test."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = []
    for path in sorted(_folder(settings).glob("*.parquet")):
        try:
            footer = (pq.read_metadata(path).metadata or {})[_FOOTER_KEY.encode()]
        except (FileNotFoundError, KeyError, pa.ArrowException):
            continue  # a test that has just become green, or somebody else's file
        kept.append(KeptRows(FoundRows(**json.loads(footer)), path))
    return kept


def find_failure(settings: Settings, name: str) -> KeptRows:
    """Find the rows of a test by its name, or by any part of it that only one has.

    Raises:
        NoFailureError: None, or more than one, fits.
    """
    kept = kept_failures(settings)
    fitting = [each for each in kept if name in each.rows.test]
    exact = [each for each in fitting if each.rows.test == name]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    cause = "no test" if not fitting else f"{len(fitting)} tests"
    raise NoFailureError(
        f"{cause} with rows that it found named like {name!r}",
        "choose one from `lake failures`",
    )


def _keep(connection: "duckdb.DuckDBPyConnection", folder: Path, test: Mapping[str, Any]) -> None:
    import duckdb

    name = short_name(test["unique_id"])
    rows = FoundRows(
        test=name,
        status=test["status"],
        found=int(test["failures"] or 0),
        found_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{name}.tmp"
    sql = str(test["sql"]).strip().rstrip(";")
    footer = f"{{'{_FOOTER_KEY}': {literal(json.dumps(asdict(rows)))}}}"
    try:
        connection.execute(
            f"copy (select * from (\n{sql}\n) as found limit {MOST_ROWS})"
            f" to {literal(unfinished)} (format parquet, kv_metadata {footer})"
        )
        os.replace(unfinished, folder / f"{name}.parquet")
    except duckdb.Error:
        # The test has said what is wrong; rows of a type that Parquet lacks must not end the run.
        unfinished.unlink(missing_ok=True)


def _folder(settings: Settings) -> Path:
    return settings.build_dir / "failures"
