"""Whatever cannot be extracted is said in one sentence with the next step, and nothing is lost."""

import traceback
from pathlib import Path

import psycopg
import pytest
from support.extraction import EVENTS, Source, spec

from demo.postgres.embedded import EmbeddedPostgres
from ingest.postgres import ExtractionError, SourceError, connection
from ingest.postgres.connection import Connection, with_network_defaults
from ingest.postgres.report import masked


@pytest.fixture
def source(pg_dsn: str, tmp_path: Path) -> Source:
    found = Source(pg_dsn, tmp_path)
    found.execute(EVENTS, "insert into shop.events values (1, 'x')")
    return found


def database(source: Source) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(source.dsn)["dbname"])


@pytest.mark.parametrize(
    ("statement", "declared", "said", "next_step"),
    [
        ("drop table shop.events", {}, r"has no table shop\.events", "lake seed"),
        (
            "select 1",
            {"cursor": "nope"},
            r"no column nope, its declared cursor",
            "it has id, label",
        ),
        ("select 1", {"primary_key": ("nope",)}, r"no column nope, its declared primary_key", "id"),
        ("select 1", {"cursor": "label"}, r"cursor label of shop\.events is text", "timestamp"),
        (
            "select 1",
            {"primary_key": ("label",)},
            r"nothing makes \(label\) unique",
            "unique index",
        ),
        ("select 1", {"lookback": 5}, r"lookback 5 of shop\.events does not fit", "such as 1h"),
        (
            "alter table shop.events add _op text",
            {},
            r"has a column _op, a name that raw files use",
            "rename",
        ),
    ],
)
def test_what_cannot_be_extracted(
    source: Source, statement: str, declared: dict[str, object], said: str, next_step: str
) -> None:
    source.execute(statement)
    source.specs = [spec(**declared)]
    with pytest.raises(ExtractionError, match=said) as error:
        source.extract()
    assert next_step in error.value.next_step
    assert "\n" not in str(error.value)
    assert source.files() == {}


def limited(source: Source, server: EmbeddedPostgres, *grants: str) -> Source:
    """The source as a role that may do only what is granted."""
    source.execute(
        "do $$ begin create role lake_limited login; exception when duplicate_object then end $$",
        *grants,
    )
    return Source(server.dsn("lake_limited", database(source)), source.root)


def test_missing_privileges_name_the_grant(source: Source, pg_server: EmbeddedPostgres) -> None:
    weak = limited(source, pg_server)
    with pytest.raises(ExtractionError, match="role lake_limited may not use schema shop") as error:
        weak.extract()
    assert "`grant usage on schema shop to lake_limited`" in error.value.next_step
    weak = limited(source, pg_server, "grant usage on schema shop to lake_limited")
    with pytest.raises(ExtractionError, match=r"may not read shop\.events") as error:
        weak.extract()
    assert "`grant select on shop.events to lake_limited`" in error.value.next_step
    weak = limited(
        source, pg_server, "grant select (id, updated_at) on shop.events to lake_limited"
    )
    with pytest.raises(ExtractionError, match=r"may not read column label of shop\.events"):
        weak.extract()


def test_a_policy_that_hides_rows_is_an_error_and_no_silent_loss(
    source: Source, pg_server: EmbeddedPostgres
) -> None:
    weak = limited(
        source,
        pg_server,
        "grant usage on schema shop to lake_limited",
        "grant select on shop.events to lake_limited",
        "alter table shop.events enable row level security",
        "create policy few on shop.events using (id > 100)",
    )
    with pytest.raises(ExtractionError, match="row-level security policy"):
        weak.extract()
    assert weak.files() == {}


def test_a_view_needs_only_the_declared_key(source: Source) -> None:
    source.execute("create view shop.seen as select id, updated_at from shop.events")
    source.specs = [spec("seen")]
    assert source.extract().upserts == 1
    source.execute("insert into shop.events values (2, 'x')")
    assert source.extract().upserts == 1


def test_a_partitioned_table(source: Source) -> None:
    source.execute(
        "create table shop.parts (id bigint, updated_at timestamptz default now(), "
        "primary key (id)) partition by range (id)",
        "create table shop.parts_1 partition of shop.parts for values from (0) to (100)",
        "create table shop.parts_2 partition of shop.parts for values from (100) to (200)",
        "create index on shop.parts (updated_at)",
        "insert into shop.parts select generate_series(1, 199)",
    )
    source.specs = [spec("parts", primary_key=())]
    report = source.extract(chunk_rows=30)
    assert (report.upserts, report.warnings) == (199, ())


def test_a_cursor_without_an_index_is_said(source: Source) -> None:
    source.execute("drop index shop.events_updated_at_idx")
    assert source.extract().warnings == (
        "no index begins with updated_at: every run reads the whole table",
    )


def whole_story(error: BaseException) -> str:
    """All that a log shows of an error: its chain of causes with it."""
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(
    ("dsn", "pieces"),
    [
        ("postgresql://me:p%40ss%2Fw%3Ard%201@127.0.0.1:1/db", ["p@ss", "p%40ss", "w:rd"]),
        ("postgresql://me:p@ss/w:rd 1@127.0.0.1:1/db", ["p@ss", "ss/w", "w:rd"]),
        ("postgresql://me:first@second@127.0.0.1:1/db", ["first", "second"]),
        ("postgresql://me:first@second@third@nowhere.invalid/db", ["first", "second", "third"]),
        ("postgresql://me:pa?ss=word@127.0.0.1:1/db", ["pa?ss", "word@"]),
        ("postgresql://me:pa#ssword@127.0.0.1:1/db", ["pa#"]),
        ("host=127.0.0.1 port=1 user=me password='p@ss/w:rd 1'", ["p@ss", "w:rd"]),
        ("host=127.0.0.1 port=1 user=me password=p@ss/w:rd 1", ["p@ss", "w:rd"]),
        ("host=127.0.0.1 port=1 user=me password='it\\'s secret'", ["s secret"]),
        ("postgresql://127.0.0.1:1/db?user=me&password=p%40ss%2Fw%3Ard%201", ["p@ss", "p%40ss"]),
        ("p@ss/w:rd 1", ["p@ss", "w:rd"]),
    ],
)
def test_no_error_shows_the_password_or_a_part_of_it(dsn: str, pieces: list[str]) -> None:
    with pytest.raises(SourceError) as error, Connection(dsn):
        pass
    story = whole_story(error.value)
    # The lines of this test are in the traceback, with the connection string's name only.
    for piece in pieces:
        assert piece not in story
    assert error.value.__cause__ is None
    assert error.value.__context__ is None


def test_a_password_of_one_letter_is_not_told_by_masking_it() -> None:
    with pytest.raises(SourceError) as error, Connection("postgresql://me:o@127.0.0.1:1/db"):
        pass
    assert "***" not in str(error.value)
    assert "Connection refused" in str(error.value)


def test_an_error_of_the_server_is_told_without_the_drivers(source: Source) -> None:
    with Connection(source.dsn) as connection, pytest.raises(SourceError) as error:
        connection.rows("select 1 / 0")
    assert "division by zero" in str(error.value)
    assert "Query was" not in whole_story(error.value)


def test_masking() -> None:
    assert masked("no s3cret for me", ["s3cret"]) == "no *** for me"
    assert masked("no p%40ss! for me", ["p@ss"]) == "no ***! for me"
    assert masked("abc", ["a", "abc"]) == "abc"


def test_timeouts_are_added_and_never_replaced() -> None:
    assert with_network_defaults("postgresql://h/d").startswith("postgresql://h/d?connect_timeout=")
    added = with_network_defaults("postgresql://h/d?connect_timeout=3&sslmode=require")
    assert added.count("connect_timeout") == 1
    assert "keepalives_idle=30" in added
    hidden = with_network_defaults("host=h password=connect_timeout")
    assert "connect_timeout=10" in hidden
    assert with_network_defaults("host=h") == (
        "host=h connect_timeout=10 keepalives_idle=30 keepalives_interval=10 keepalives_count=3"
    )


def test_a_table_locked_by_somebody_fails_alone(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection._SESSION, "lock_timeout", "50ms")
    source.execute("create table shop.locked (like shop.events including all)")
    source.specs = [spec("locked"), spec()]
    with psycopg.connect(source.dsn) as other:
        other.execute("alter table shop.locked add more int")
        with pytest.raises(ExtractionError, match="the table is locked by somebody else") as error:
            source.extract_all()
        locked, events = error.value.reports
        assert locked.error is not None
        assert (events.error, events.upserts) == (None, 1)
        other.rollback()
    source.extract_all()
