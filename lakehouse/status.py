"""What there is: raw commits, published rows, who builds, what holds publishing back.

Here belongs collecting facts, each from the place that owns it. Nothing here opens the build file
or waits for anybody, so it can be asked at any time. Rendering is in ``lakehouse.cli.status``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse.locks import LockHolder, current_holder
from lakehouse.publishing import NoVersionError, Version, current_version, is_rolled_back
from lakehouse.publishing.held_back import HeldBack, read_held_back
from lakehouse.publishing.versions import version_paths
from lakehouse.raw import RawTable, raw_tables
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb

SYSTEM_SCHEMA = "lake"
_ACCOUNTING = "quarantine.accounting_"
"""How dbt's models of where each landed row is begin, one for each source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """One source table on its way through the layers.

    Attributes:
        commits: Raw commits.
        raw_rows: Rows in them, repeats and tombstones included. They are the sum of the clean, the
            quarantined, the earlier and the unpublished rows.
        watermark: Exact cursor text up to which raw is complete; None before the first.
        extracted_at: Clock of the newest commit's snapshot (UTC); None without a commit.
        unpublished_commits: Commits that the published version has not seen.
        unpublished_rows: Rows in them.
        clean_rows: Rows of the published version that are current and break no rule; None if the
            table is not in it.
        quarantined_rows: Its current rows that break a rule; None likewise.
    """

    source: str
    table: str
    commits: int
    raw_rows: int
    watermark: str | None
    extracted_at: datetime | None
    unpublished_commits: int
    unpublished_rows: int
    clean_rows: int | None
    quarantined_rows: int | None

    @property
    def name(self) -> str:
        """Source and table."""
        return f"{self.source}.{self.table}"

    @property
    def earlier_rows(self) -> int | None:
        """Published raw rows that are not current: repeats, older versions, deletions."""
        if self.clean_rows is None:
            return None
        current = self.clean_rows + (self.quarantined_rows or 0)
        return self.raw_rows - self.unpublished_rows - current


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The project at one moment.

    Attributes:
        published: The version that readers see; None when there is none.
        is_rolled_back: Whether that is an older one because somebody rolled back.
        kept_versions: How many versions there are.
        kept_bytes: The disk they take together.
        published_rows: ``schema.table`` to rows, counted in that version.
        sources: Every table that has a raw folder.
        builder: Who holds the build file; None when nobody does.
        held_back: The last build, if it was not published.
    """

    published: Version | None
    is_rolled_back: bool
    kept_versions: int
    kept_bytes: int
    published_rows: Mapping[str, int]
    sources: tuple[SourceTable, ...]
    builder: LockHolder | None
    held_back: HeldBack | None

    @property
    def marts(self) -> dict[str, int]:
        """Rows of the marts."""
        return {k: v for k, v in self.published_rows.items() if k.startswith("marts.")}


@dataclass(frozen=True, slots=True)
class _Commit:
    rows: int
    watermark: str | None
    extracted_at: datetime


@dataclass(frozen=True, slots=True)
class _Published:
    """What a version says about itself.

    Attributes:
        rows: ``schema.table`` to rows.
        commits: The raw commits it was made from, by source, table and batch id.
        accounting: Clean and quarantined rows by source and table.
    """

    rows: Mapping[str, int]
    commits: Mapping[tuple[str, str, str], _Commit]
    accounting: Mapping[tuple[str, str], tuple[int, int]]


def collect(settings: Settings) -> Status:
    """Gather the facts.

    Raises:
        RawFileError: A raw commit that is not published yet is damaged.
    """
    try:
        published = current_version(settings)
    except NoVersionError:
        published = None
    version = _read_version(published) if published else _Published({}, {}, {})
    kept = [path.stat().st_size for path in version_paths(settings)]
    return Status(
        published=published,
        is_rolled_back=is_rolled_back(settings),
        kept_versions=len(kept),
        kept_bytes=sum(kept),
        published_rows=version.rows,
        sources=tuple(_source(table, version) for table in raw_tables(settings.raw_dir)),
        builder=current_holder(settings.build_lock),
        held_back=read_held_back(settings),
    )


def _source(table: RawTable, version: _Published) -> SourceTable:
    """Opens only the commits that the version does not describe: there may be thousands."""
    paths = table.commits()
    commits: list[_Commit] = []
    unpublished: list[_Commit] = []
    for path in paths:
        known = version.commits.get((table.source, table.table, path.stem))
        if known is None:
            info = table.read(path)
            known = _Commit(info.rows, info.watermark_after, info.extracted_at)
            unpublished.append(known)
        commits.append(known)
    marks = [commit.watermark for commit in commits if commit.watermark is not None]
    clean, quarantined = version.accounting.get((table.source, table.table), (None, None))
    return SourceTable(
        source=table.source,
        table=table.table,
        commits=len(paths),
        raw_rows=sum(commit.rows for commit in commits),
        watermark=marks[-1] if marks else None,
        extracted_at=commits[-1].extracted_at if commits else None,
        unpublished_commits=len(unpublished),
        unpublished_rows=sum(commit.rows for commit in unpublished),
        clean_rows=clean,
        quarantined_rows=quarantined,
    )


def _read_version(version: Version) -> _Published:
    import duckdb

    with duckdb.connect(str(version.path), read_only=True) as connection:
        commits = {
            (source, table, batch): _Commit(rows, watermark, datetime.fromtimestamp(at / 1e6, UTC))
            for source, table, batch, rows, watermark, at in connection.execute(
                "select source_name, table_name, batch_id, row_count, watermark_after,"
                " epoch_us(extracted_at) from lake.commits"
            ).fetchall()
        }
        rows = _count_rows(connection)
        accounting = {
            (source, table): (clean, quarantined)
            for model in rows
            if model.startswith(_ACCOUNTING)
            for source, table, clean, quarantined in connection.execute(
                f"select source_name, table_name, clean_rows, quarantined_rows from {model}"
            ).fetchall()
        }
        return _Published(rows, commits, accounting)


def _count_rows(connection: "duckdb.DuckDBPyConnection") -> dict[str, int]:
    names = connection.execute(
        "select schema_name, table_name from duckdb_tables()"
        f" where schema_name <> '{SYSTEM_SCHEMA}' order by all"
    ).fetchall()
    counts = {}
    for schema, table in names:
        row = connection.execute(f'select count(*) from "{schema}"."{table}"').fetchone()
        counts[f"{schema}.{table}"] = int(row[0]) if row else 0
    return counts
