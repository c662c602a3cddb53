"""The table list: what it may say, and the sentence for what it may not."""

from datetime import timedelta
from pathlib import Path

import pytest

from ingest.sources import SourcesError, load_sources, parse_lookback, select_tables
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
