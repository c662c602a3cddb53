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
        Internal("quixstreams.internal_consumer:InternalConsumer.consume", ("count",)),
    ):
        with pytest.raises(AssertionError):
            test_quix_still_has(gone)


def test_quix_calls_what_we_override() -> None:
    """The subclass is of use only if Quix itself asks for these methods."""
    from quixstreams.app import Application

    run = inspect.getsource(Application._run_dataframe)
    for name in ("on_assign", "on_revoke", "on_lost"):
        assert f"{name}=self._{name}" in run
    assert "process_message = self._process_message" in run
    assert "self._setup_signal_handlers()" in inspect.getsource(Application.run)
    assert "self._get_internal_producer(" in inspect.getsource(Application.__init__)


def test_a_checkpoint_lands_before_it_commits_offsets() -> None:
    calls = MagicMock()
    calls.producer.flush.return_value = 0
    calls.sink_manager.sinks = [calls.sink]
    calls.consumer.commit.return_value = []
    checkpoint: Any = Checkpoint(
        commit_interval=60,
        producer=calls.producer,
        consumer=calls.consumer,
        state_manager=calls.state_manager,
        sink_manager=calls.sink_manager,
        dataframe_registry=calls.dataframe_registry,
    )
    checkpoint.store_offset("topic", 0, 7)
    checkpoint.commit()
    steps = {"sink.flush": "files", "consumer.commit": "offsets"}
    made = [steps[name] for name, *_ in calls.mock_calls if name in steps]
    assert made == list(steps.values())
