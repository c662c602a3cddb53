"""What follows from a catalogue: plain names, the cursor, and text added to a person's YAML."""

import string
from itertools import takewhile
from pathlib import Path

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ingest.onboarding.address import save_dsn
from ingest.onboarding.cursor import choose_cursor
from ingest.onboarding.inspect import CatalogColumn, _is_stamped
from ingest.onboarding.names import TAKEN_COLUMNS, column_names, plain
from ingest.onboarding.yaml_text import YamlTextError, append_items, items_in, replace_item
from lakehouse.errors import LakeError
from lakehouse.settings import Settings, read_variable

INSTANT = "timestamp with time zone"
PATH = ("sources", ("name", "a"), "tables")


@given(st.lists(st.text(min_size=1, max_size=63).filter(lambda t: "\0" not in t), unique=True))
def test_any_names_become_plain_ones_that_differ(names: list[str]) -> None:
    found = column_names(names)
    assert list(found) == names
    assert len({name.lower() for name in found.values()}) == len(names)
    letters = set(string.ascii_lowercase + string.digits + "_")
    for name in found.values():
        assert set(name) <= letters
        assert name[0] in string.ascii_lowercase
        assert name not in TAKEN_COLUMNS


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("orderLine", "order_line"),
        ("HTTPServer", "http_server"),
        ("Größe (cm)", "groesse_cm"),
        ("Straße", "strasse"),
        ("Crème brûlée", "creme_brulee"),
        ("U\u0308ber", "ueber"),
        ("1st", "column_1st"),
        ("表", "column"),
        ("a--b", "a_b"),
    ],
)
def test_names_are_spelled_as_a_person_would(name: str, becomes: str) -> None:
    assert plain(name, "column") == becomes


def test_keywords_and_the_models_own_names_are_avoided_and_plain_names_kept() -> None:
    found = column_names(["ID", "id", "case", "deleted_at", "name", "order", "order_"])
    assert list(found.values()) == [
        "id_2", "id", "case_", "source_deleted_at", "name", "order__2", "order_",
    ]  # fmt: skip
    with duckdb.connect() as engine:
        words = engine.execute("select distinct keyword_name from duckdb_keywords()").fetchall()
        for name in column_names(word for (word,) in words).values():
            engine.execute(f"select {name} from (select 1 as {name}) as t where {name} = 1")


def columns(*names: str, pg_type: str = INSTANT, **more: object) -> tuple[CatalogColumn, ...]:
    return tuple(
        CatalogColumn(name=name, pg_type=pg_type, not_null=True, **more)  # type: ignore[arg-type]
        for name in names
    )


@pytest.mark.parametrize(
    "name",
    [
        "updated_at", "updatedAt", "UpdatedAt", "LAST_UPDATE", "lastUpdated", "modified",
        "ModifiedDate", "date_modified", "last_modified_at", "changed_on", "row_updated_at",
        "sys_mod_time", "mtime",
        "geändert am", "letzte_aenderung", "order_updated_at", "orders_updated_at", "update_time",
        "aktualisiert_am", "updated_ts",
    ],
)  # fmt: skip
def test_a_cursor_is_known_by_its_name(name: str) -> None:
    found = choose_cursor("orders", columns("id", "created_at", name, "shipped_at"))
    assert (found.name, found.candidates) == (name, ())


@pytest.mark.parametrize(
    "name",
    [
        "created_at", "password_changed_at", "price_updated_at", "status_changed", "deleted_at",
        "shipped_on", "valid_from", "next_update_at", "updated_by", "update_count", "exchange_time",
        "customer_updated_at", "date", "time", "at",
    ],
)  # fmt: skip
def test_what_tells_other_changes_is_no_cursor(name: str) -> None:
    assert choose_cursor("orders", columns(name)).name is None


def test_of_several_nobody_chooses_but_a_trigger() -> None:
    several = columns("updated_at", "modified_at")
    assert choose_cursor("t", several).candidates == ("updated_at", "modified_at")
    kept = columns("updated_at") + columns("modified_at", named_by=("touch",))
    assert choose_cursor("t", kept).name == "modified_at"
    indexed = columns("updated_at") + columns("modified_at", indexed=True)
    assert choose_cursor("t", indexed).name is None


def test_a_number_or_a_day_is_never_chosen_by_itself() -> None:
    assert choose_cursor("t", columns("updated_at", pg_type="bigint")).name is None
    assert choose_cursor("t", columns("updated_at", pg_type="text")).candidates == ()
    day = choose_cursor("t", columns("modified", pg_type="date"))
    assert (day.name, day.candidates) == (None, ("modified",))
    assert choose_cursor("t", columns("created_at")).created == "created_at"


def trigger(code: str, **more: object) -> dict[str, object]:
    return {
        "name": "t",
        "code": code,
        "arguments": "",
        "on_insert": True,
        "on_update": True,
        "always": True,
        **more,
    }


@pytest.mark.parametrize(
    "code",
    [
        "begin new.at := now(); return new; end",
        'begin NEW."at" = clock_timestamp() ; return new; end',
        "begin -- if\n new.at := current_timestamp; return new; end",
    ],
)
def test_a_trigger_that_only_sets_the_clock_is_sure(code: str) -> None:
    assert _is_stamped([trigger(code)], "at")
    parts = [trigger(code, on_insert=False), trigger(code, on_update=False)]
    assert _is_stamped(parts, "at")
    assert not _is_stamped(parts[:1], "at"), "an insert may bring any value"
    assert not _is_stamped([trigger(code, always=False)], "at"), "not at every update"


@pytest.mark.parametrize(
    "code",
    [
        "begin if new.x <> old.x then new.at := now(); end if; return new; end",
        "begin new.at := coalesce(new.at, now()); return new; end",
        "begin new.at := now() - interval '1 day'; return new; end",
        "begin new.at := now(); new.at := new.other; return new; end",
        "begin -- new.at := now();\n return new; end",
        "begin new.format := now(); return new; end",
        "begin raise notice '%', new.at; return new; end",
    ],
)
def test_a_trigger_that_may_do_something_else_is_not(code: str) -> None:
    assert not _is_stamped([trigger(code)], "at")


PIECES = st.lists(
    st.sampled_from(["", "# a comment", "    # one that is indented", "      # - name: no item"]),
    max_size=2,
)


@given(st.lists(PIECES, min_size=7, max_size=7), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_a_person_wrote_stays_byte_by_byte(
    pieces: list[list[str]], newline: str, ends: bool
) -> None:
    lines = [
        "sources:  # the list", "  - name: a", "    tables:", "      - name: x  # the first",
        "        text: >\n          folded", "  - {name: b, tables: [{name: y}]}",
    ]  # fmt: skip
    written = [*pieces[0], *(one for n, line in enumerate(lines) for one in (line, *pieces[n + 1]))]
    text = "\n".join(written).replace("\n", newline) + (newline if ends else "")
    before = yaml.safe_load(text)
    for path, item in (
        (PATH, "name: new\nlist: [1, 'a, b']"),
        (("sources",), "name: c\ntables: []"),
    ):
        after = append_items(text, path, [item])
        assert without_one_piece(after, text)
        where = before["sources"][0]["tables"] if path == PATH else before["sources"]
        where.append(yaml.safe_load(item))
        assert yaml.safe_load(after) == before
        text = after
    flow = append_items(text, ("sources", ("name", "b"), "tables"), ["name: z\nkey: [1]"])
    assert yaml.safe_load(flow)["sources"][1]["tables"] == [
        {"name": "y"},
        {"name": "z", "key": [1]},
    ]


def without_one_piece(longer: str, shorter: str) -> bool:
    """Whether one piece was put into a text, and a line end behind its last line at most."""
    for text in (shorter, f"{shorter}\n", f"{shorter}\r\n"):
        before, behind = common(longer, text), common(longer[::-1], text[::-1])
        if before + behind >= len(text):
            return True
    return False


def common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


@pytest.mark.parametrize("empty", ["[]", "", "null", "[ ]  # none yet"])
def test_an_empty_list_takes_its_first_item(empty: str) -> None:
    text = f"sources:\n  - name: a\n    tables: {empty}\n  - name: b\n    tables: []\n"
    after = append_items(text, PATH, ["name: x"])
    assert yaml.safe_load(after)["sources"][0]["tables"] == [{"name": "x"}]
    assert yaml.safe_load(append_items("sources: []\n", ("sources",), ["name: x"])) == {
        "sources": [{"name": "x"}]
    }


def test_an_item_is_replaced_and_its_neighbours_stay() -> None:
    text = "l:\n  # one\n  - name: a\n    x: 1  # why\n\n  # two\n  - name: b\n  - name: c\n"
    after = replace_item(text, ("l", ("name", "a")), "name: a\ny: 2")
    assert after == "l:\n  # one\n  - name: a\n    y: 2\n\n  # two\n  - name: b\n  - name: c\n"
    assert items_in(after, ("l",))["a"] == {"name": "a", "y": 2}


@pytest.mark.parametrize("text", ["a: 1", "sources: 1", "sources: {a: 1}", "", "- 1"])
def test_a_place_that_is_none_is_a_sentence(text: str) -> None:
    with pytest.raises(YamlTextError, match="there is no list `sources`"):
        append_items(text, ("sources",), ["name: x"])


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:pa%40ss@h/d?a=b&c=d",
        "host=h password='it\\'s # \\\\ \"x\"'",
        "postgresql://me:p$a$s@h/d",
    ],
)
def test_an_address_in_the_env_file_is_the_same_and_nobody_elses(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAKE_ERP_DSN", raising=False)
    settings = Settings(root=tmp_path)
    env = tmp_path / ".env"
    env.write_text("# mine\nLAKE_ERP_DSN=old\nOTHER=1\n")
    env.chmod(0o644)
    save_dsn(settings, "LAKE_ERP_DSN", dsn)
    assert read_variable(settings, "LAKE_ERP_DSN") == dsn
    assert env.stat().st_mode & 0o777 == 0o600
    assert env.read_text().startswith("# mine\nOTHER=1\n")
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


@pytest.mark.parametrize("dsn", ["postgresql://me:${HOME}@h/d", "postgresql://me:a\nX=1@h/d"])
def test_an_address_that_the_env_file_would_change_is_refused(dsn: str, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="cannot stand in") as error:
        save_dsn(Settings(root=tmp_path), "LAKE_ERP_DSN", dsn)
    assert dsn not in str(error.value)
    assert list(tmp_path.iterdir()) == []
