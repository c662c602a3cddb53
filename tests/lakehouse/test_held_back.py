"""What a build that was not published tells people: the causes first."""

from pathlib import Path

from lakehouse.publishing.blockers import Blocker
from lakehouse.publishing.held_back import (
    held_back_file,
    name_nodes,
    read_held_back,
    write_held_back,
)
from lakehouse.settings import Settings


def test_causes_are_named_and_what_they_skipped_is_counted() -> None:
    nodes = {"fct_sales": "skipped", "dim_date": "skipped", "unique_id": "fail", "dim_x": "error"}
    assert name_nodes(nodes) == "unique_id (fail), dim_x (error); 2 skipped because of them"
    assert name_nodes(nodes, 1) == "unique_id (fail) and 1 more; 2 skipped because of them"


def test_what_an_earlier_run_skipped_is_named_when_no_cause_is_left() -> None:
    nodes = dict.fromkeys("abc", "skipped")
    assert name_nodes(nodes, 2) == "a (skipped), b (skipped) and 1 more"


def test_the_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    assert read_held_back(settings) is None
    settings.build_dir.mkdir(parents=True)
    blockers = [
        Blocker("model.lakehouse.fct_sales", "error"),
        Blocker("unit_test.lakehouse.fct_sales.a_rule", "fail"),
        Blocker("test.lakehouse.unique_fct_sales_key.1a2b3c", "skipped"),
    ]
    written = write_held_back(settings, blockers)
    assert written.nodes == {
        "fct_sales": "error",
        "a_rule": "fail",
        "unique_fct_sales_key": "skipped",
    }
    assert read_held_back(settings) == written
    held_back_file(settings).write_text("{")
    assert read_held_back(settings) is None
