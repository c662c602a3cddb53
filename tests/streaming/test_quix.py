"""What is used of Quix Streams is there, and a checkpoint has the order that loses nothing."""

import inspect
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import MagicMock

import pytest
from quixstreams.checkpointing import Checkpoint

from streaming.quix.internals import INTERNALS, Internal

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.place)
def test_quix_still_has(internal: Internal) -> None:
    owner_name, _, name = internal.place.rpartition(".")
    owner = resolve_name(owner_name)
    # A dataclass has its fields without a default on its instances only.
    assert hasattr(owner, name) or name in getattr(owner, "__dataclass_fields__", {})
    if internal.parameters:
        assert set(internal.parameters) <= set(inspect.signature(getattr(owner, name)).parameters)


def test_an_internal_that_an_upgrade_has_changed_is_noticed() -> None:
    for gone in (
        Internal("quixstreams.app:Application._on_gone"),
        Internal("quixstreams.state:StateStoreManager.get_store", ("stream",)),
    ):
        with pytest.raises(AssertionError):
            test_quix_still_has(gone)


def test_quix_calls_what_we_override() -> None:
    """The subclass is of use only if Quix itself asks for the method when partitions are lost."""
    from quixstreams.app import Application

    assert "on_lost=self._on_lost" in inspect.getsource(Application._run_dataframe)


def test_a_checkpoint_lands_then_writes_the_changelog_then_offsets_then_state() -> None:
    calls = MagicMock()
    calls.producer.flush.return_value = 0
    calls.sink_manager.sinks = [calls.sink]
    calls.transaction.failed = False
    calls.consumer.commit.return_value = []
    calls.dataframe_registry.get_topics_for_stream_id.return_value = ["topic"]
    calls.state_manager.get_store().start_partition_transaction.return_value = calls.transaction
    checkpoint: Any = Checkpoint(
        commit_interval=60,
        producer=calls.producer,
        consumer=calls.consumer,
        state_manager=calls.state_manager,
        sink_manager=calls.sink_manager,
        dataframe_registry=calls.dataframe_registry,
    )
    checkpoint.get_store_transaction("topic", 0)
    checkpoint.store_offset("topic", 0, 7)
    checkpoint.commit()
    steps = {
        "sink.flush": "files",
        "transaction.prepare": "changelog",
        "producer.flush": "changelog is durable",
        "consumer.commit": "offsets",
        "transaction.flush": "state",
    }
    made = [steps[name] for name, *_ in calls.mock_calls if name in steps]
    assert made == list(steps.values())
