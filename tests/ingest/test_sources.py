"""The table list: what it may say, and the sentence for what it may not."""

from datetime import timedelta
from pathlib import Path

import pytest

from ingest.sources import (
    SourcesError,
    by_source,
    load_sources,
    parse_lookback,
    read_sources,
    select_tables,
)
from lakehouse.settings import Settings

GOOD = """
sources:
  - name: shop
    schema: public
    tables:
      - {name: a, primary_key: id, cursor: updated_at}
      - {name: b, primary_key: [x, y], cursor: c, lookback: 90s, null_cursor: raise,
         deletes: ignore, schema: other, clock: application, max_delete_share: 0.5}
"""


REPOSITORY = Path(__file__).resolve().parents[2]


def written(root: Path, text: str) -> Settings:
    """A project with this list of tables."""
    path = root / "ingest" / "sources.yml"
    path.parent.mkdir()
    path.write_text(text)
    return Settings(root=root)


def test_the_projects_own_list_is_sound() -> None:
    specs = load_sources(Settings(root=REPOSITORY))
    assert [spec.name for spec in specs] == [
        "customers",
        "products",
        "campaigns",
        "transactions",
        "transaction_items",
    ]
    assert {(spec.source, spec.schema, spec.cursor, spec.deletes) for spec in specs} == {
        ("shop", "shop", "updated_at", "reconcile")
    }


def test_everything_declared_is_read(tmp_path: Path) -> None:
    a, b = load_sources(written(tmp_path, GOOD))
    assert (a.schema, a.primary_key, a.null_cursor, a.deletes) == (
        "public", ("id",), "include", "reconcile",
    )  # fmt: skip
    assert a.lookback.span == timedelta(hours=1)
    assert (b.schema, b.primary_key, b.null_cursor, b.deletes, b.clock) == (
        "other", ("x", "y"), "raise", "ignore", "application",
    )  # fmt: skip
    assert (b.lookback.span, b.max_delete_share) == (timedelta(seconds=90), 0.5)


SEVERAL = """
sources:
  - {name: shop, schema: shop, tables: [{name: events, cursor: c}, {name: erp, cursor: c}]}
  - name: erp
    dsn_env: LAKE_ERP_DSN
    schema: "Sales-Ü"
    tables:
      - {name: events, table: 'Ev"ents', cursor: c}
      - {name: orders, schema: sales, cursor: c}
  - {name: empty, dsn_env: LAKE_EMPTY_DSN, tables: []}
"""


def test_each_source_names_the_variable_of_its_address(tmp_path: Path) -> None:
    settings = written(tmp_path, SEVERAL)
    shop, erp, empty = read_sources(settings)
    assert (shop.dsn_env, erp.dsn_env, empty.dsn_env) == (
        "LAKE_SOURCE_DSN", "LAKE_ERP_DSN", "LAKE_EMPTY_DSN",
    )  # fmt: skip
    assert (erp.schema, empty.schema, empty.tables) == ("Sales-Ü", None, ())
    events, orders = erp.tables
    assert {spec.dsn_env for spec in erp.tables} == {"LAKE_ERP_DSN"}
    assert (events.name, events.relation) == ("events", 'Ev"ents')
    assert events.origin == '"Sales-Ü"."Ev""ents"'
    assert (orders.relation, orders.origin) == ("orders", "sales.orders")
    assert load_sources(settings) == (*shop.tables, *erp.tables)
    assert {name: len(specs) for name, specs in by_source(load_sources(settings)).items()} == {
        "shop": 2,
        "erp": 2,
    }


def test_a_table_of_several_sources_is_asked_for_in_full(tmp_path: Path) -> None:
    specs = load_sources(written(tmp_path, SEVERAL))

    def labels(*names: str) -> list[str]:
        return [spec.label for spec in select_tables(specs, names)]

    assert labels("erp.events") == ["erp.events"]
    assert labels("orders") == ["erp.orders"]
    assert labels("erp") == ["erp.events", "erp.orders"], "a source before a table of that name"
    assert labels("shop.erp") == ["shop.erp"]
    with pytest.raises(SourcesError, match=r"events in several.*say shop\.events or erp\.events"):
        labels("events")


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("dsn_env: LAKE_ERP_DSN", "dsn-env: X", r"erp has an unknown key `dsn-env`.*`dsn_env`\?"),
        ("dsn_env: LAKE_ERP_DSN", "dsn: X", r"erp has an unknown key `dsn`"),
        ("table: 'Ev", "relation: 'Ev", r"erp\.events has an unknown key `relation`.*choose from"),
        ("name: orders, ", "name: orders, Cursr: c, ", r"`Cursr`.*did you mean `cursor`\?"),
        ("sources:", "source: []\nsources:", r"it has an unknown key `source`.*`sources`\?"),
        ("name: erp\n", "name: shop\n", r"source shop is listed twice"),
        ("name: erp\n", "name: stream\n", r"source stream has a name that is taken"),
        ('    schema: "Sales', '    schema: a\n    schema: "Sales', r"key `schema` stands twice"),
        (
            "dsn_env: LAKE_ERP_DSN",
            "dsn_env: postgresql://me:hunter2@h/d",
            r"erp has a `dsn_env` that",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(tmp_path: Path, was: str, now: str, said: str) -> None:
    assert was in SEVERAL
    with pytest.raises(SourcesError, match=said) as error:
        load_sources(written(tmp_path, SEVERAL.replace(was, now, 1)))
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("cursor: c,", "cursor: '',", r"table shop\.b needs `cursor`"),
        ("sources:", "tabels: []\nsources:", r"it has an unknown key `tabels`"),
        ("schema: public", "schema: public\n    tabels: []", r"source shop has an unknown key"),
        ("deletes: ignore", "deletes_every: soon", r"has `deletes_every`: 'soon' is not a span"),
        ("deletes: ignore", "schema_drift: no", r"has `schema_drift: False`; choose from evolve"),
        ("null_cursor: raise", "null_cursor: maybe", r"shop\.b has `null_cursor: maybe`; choose"),
        ("deletes: ignore", "deletes: yes", r"shop\.b has `deletes: True`; choose from rec"),
        ("lookback: 90s", "lookback: soon", r"shop\.b has `lookback`: 'soon' is not a span"),
        ("max_delete_share: 0.5", "max_delete_share: 20", r"`max_delete_share: 20`; give a number"),
        ("name: b", "name: a", r"table shop\.a is listed twice"),
        ("name: b", "name: B-1", r"has the name 'B-1'"),
        ("clock: application", "clocks: application", r"shop\.b has an unknown key `clocks`"),
        ("primary_key: [x, y]", "primary_key: [1]", r"shop\.b needs `primary_key` as a list"),
        ("schema: public", "", r"table shop\.a needs `schema`"),
        ("sources:", "tables:", r"it has no list `sources`"),
        ("sources:", "sources: {", r"is not YAML"),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, was: str, now: str, said: str) -> None:
    assert was in GOOD
    project = written(tmp_path, GOOD.replace(was, now, 1))
    with pytest.raises(SourcesError, match=said) as error:
        load_sources(project)
    assert str(tmp_path / "ingest" / "sources.yml") in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourcesError, match=r"cannot read .*No such file") as error:
        load_sources(Settings(root=tmp_path))
    assert str(tmp_path / "ingest" / "sources.yml") in error.value.cause
    assert "LAKE_ROOT" in error.value.next_step


def test_tables_are_picked_by_name_in_the_lists_order(tmp_path: Path) -> None:
    specs = load_sources(written(tmp_path, GOOD))
    assert [s.name for s in select_tables(specs, ["b", "shop.a"])] == ["a", "b"]
    assert [s.name for s in select_tables(specs, None)] == ["a", "b"]
    assert [s.name for s in select_tables(specs, [])] == ["a", "b"]
    with pytest.raises(SourcesError, match=r"no table c.*choose from a, b"):
        select_tables(specs, ["c"])


@pytest.mark.parametrize(
    ("text", "span", "units"),
    [("0s", 0, 0), ("30m", 1800, 0), ("2d", 172_800, 0), (0, 0, 0), (500, 0, 500), ("7", 0, 7)],
)
def test_lookbacks(text: object, span: int, units: int) -> None:
    lookback = parse_lookback(text)
    assert (lookback.span, lookback.units) == (timedelta(seconds=span), units)
