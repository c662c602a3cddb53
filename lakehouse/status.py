"""What there is: raw commits, published rows, who builds, what holds publishing back.

Here belongs collecting facts, each from the place that owns it. Nothing here opens the build file
or waits for anybody, so it can be asked at any time. Rendering is in ``lakehouse.cli.status``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse.locks import LockHolder, current_holder
from lakehouse.publishing import NoVersionError, Version, current_version, is_rolled_back
from lakehouse.publishing.held_back import HeldBack, read_held_back
from lakehouse.publishing.versions import version_sizes
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
class _Commits:
    """What is known of some commits of a table.

    Attributes:
        ids: Their batch ids in order, with a space between any two: compared as one text, as there
            may be very many.
        rows: Rows in all of them.
        mark: The newest that says how far the table was complete, and how far; None if none does.
        newest: The newest of all, and the clock of its snapshot; None if there is none.
    """

    ids: str = ""
    rows: int = 0
    mark: tuple[str, str] | None = None
    newest: tuple[str, datetime] | None = None


@dataclass(frozen=True, slots=True)
class _Published:
    """What a version says about itself.

    Attributes:
        rows: ``schema.table`` to rows.
        commits: The raw commits it was made from, by source and table.
        accounting: Clean and quarantined rows by source and table.
    """

    rows: Mapping[str, int]
    commits: Mapping[tuple[str, str], _Commits]
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
    kept = version_sizes(settings)
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
    """Opens only the commits that the version does not describe."""
    ids = table.batch_ids()
    published, new = version.commits.get((table.source, table.table), _Commits()), _Commits()
    unpublished: set[str] = set()
    if published.ids != " ".join(ids):
        seen = {*published.ids.split()}
        unpublished = {*ids} - seen
        new = _read_commits(table, unpublished)
        if not seen <= {*ids}:  # some were set aside since: the footers say what is left
            published = _read_commits(table, {*ids} & seen)
    mark = max(filter(None, (published.mark, new.mark)), default=None)
    newest = max(filter(None, (published.newest, new.newest)), default=None)
    clean, quarantined = version.accounting.get((table.source, table.table), (None, None))
    return SourceTable(
        source=table.source,
        table=table.table,
        commits=len(ids),
        raw_rows=published.rows + new.rows,
        watermark=mark[1] if mark else None,
        extracted_at=newest[1] if newest else None,
        unpublished_commits=len(unpublished),
        unpublished_rows=new.rows,
        clean_rows=clean,
        quarantined_rows=quarantined,
    )


def _read_commits(table: RawTable, ids: Collection[str]) -> _Commits:
    infos = table.read_many(ids)
    marks = [(i.batch_id, i.watermark_after) for i in infos if i.watermark_after is not None]
    return _Commits(
        ids=" ".join(sorted(ids)),
        rows=sum(info.rows for info in infos),
        mark=max(marks, default=None),
        newest=max(((i.batch_id, i.extracted_at) for i in infos), default=None),
    )


def _read_version(version: Version) -> _Published:
    import duckdb

    with duckdb.connect(str(version.path), read_only=True) as connection:
        # Aggregated there: a row for each of very many commits would take seconds here.
        commits = {
            (source, table): _Commits(
                ids=ids,
                rows=int(rows),
                mark=(marked, watermark) if marked else None,
                newest=(newest, datetime.fromtimestamp(at / 1e6, UTC)),
            )
            for source, table, ids, rows, marked, watermark, newest, at in connection.execute(
                "select source_name, table_name, string_agg(batch_id, ' ' order by batch_id),"
                " sum(row_count),"
                " max(batch_id) filter (where watermark_after is not null),"
                " arg_max(watermark_after, batch_id) filter (where watermark_after is not null),"
                " max(batch_id), epoch_us(arg_max(extracted_at, batch_id))"
                " from lake.commits group by source_name, table_name"
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
