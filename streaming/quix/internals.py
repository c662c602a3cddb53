"""Names of Quix Streams that this package uses beside what Quix documents.

A test looks each of them up in the installed version, so that an upgrade which changes one fails by
its name. Whoever uses another one adds it here.
"""

from typing import NamedTuple


class Internal(NamedTuple):
    """A name of Quix that is used here, and which of its parameters.

    Attributes:
        place: ``module:Class.name``.
        parameters: Those that are given or overridden by name.
    """

    place: str
    parameters: tuple[str, ...] = ()


_APPLICATION = "quixstreams.app:Application"
_CHECKPOINT = "quixstreams.checkpointing:Checkpoint"
_CONTEXT = "quixstreams.processing:ProcessingContext"
_CONSUMER = "quixstreams.internal_consumer:InternalConsumer"
_PRODUCER = "quixstreams.internal_producer:InternalProducer"
_ADMIN = "quixstreams.models.topics:TopicAdmin"
INTERNALS = (
    Internal(f"{_APPLICATION}.__init__", ("state_dir", "topic_manager", "use_changelog_topics")),
    Internal(f"{_APPLICATION}._get_internal_producer"),
    Internal(f"{_APPLICATION}._process_message", ("dataframe_composed",)),
    Internal(f"{_APPLICATION}._on_assign", ("topic_partitions",)),
    Internal(f"{_APPLICATION}._on_lost", ("topic_partitions",)),
    Internal(f"{_APPLICATION}._on_revoke", ("topic_partitions",)),
    Internal(f"{_APPLICATION}._setup_signal_handlers"),
    Internal("quixstreams.dataframe:StreamingDataFrame.processing_context"),
    Internal(
        "quixstreams.models:MessageContext.__init__", ("topic", "partition", "offset", "size")
    ),
    Internal("quixstreams.runtracker:RunTracker.set_message_consumed", ("consumed",)),
    Internal(f"{_CONTEXT}.checkpoint"),
    Internal(f"{_CONTEXT}.commit_checkpoint", ("force",)),
    Internal(f"{_CONTEXT}.consumer"),
    Internal(f"{_CONTEXT}.dataframe_registry"),
    Internal(f"{_CONTEXT}.init_checkpoint"),
    Internal(f"{_CONTEXT}.producer"),
    Internal(f"{_CONTEXT}.sink_manager"),
    Internal(f"{_CONTEXT}.store_offset", ("topic", "partition", "offset")),
    Internal(f"{_CHECKPOINT}.empty"),
    Internal("quixstreams.dataframe:DataFrameRegistry.register_periodic_task"),
    Internal("quixstreams.sinks:SinkManager.register", ("sink",)),
    Internal("quixstreams.sinks.base:BaseSink.__init__", ("on_client_connect_success",)),
    Internal("quixstreams.sinks.base:BaseSink.flush"),
    Internal("quixstreams.sinks.base:BaseSink.on_paused"),
    Internal("quixstreams.sinks.base:SinkBackpressureError.__init__", ("retry_after",)),
    Internal(f"{_CONSUMER}._broker_available"),
    Internal(f"{_CONSUMER}.commit", ("offsets", "asynchronous")),
    Internal(f"{_CONSUMER}.consume", ("num_messages", "timeout")),
    Internal(f"{_CONSUMER}.get_watermark_offsets", ("timeout",)),
    Internal(f"{_PRODUCER}.__init__", ("broker_address", "extra_config", "flush_timeout")),
    Internal(f"{_PRODUCER}._broker_available"),
    Internal(f"{_PRODUCER}._on_delivery", ("err", "msg")),
    Internal(f"{_PRODUCER}.flush", ("timeout",)),
    Internal(f"{_PRODUCER}.poll"),
    Internal(f"{_PRODUCER}.produce", ("topic", "key", "value", "headers", "on_delivery")),
    Internal(f"{_ADMIN}.admin_client"),
    Internal(f"{_ADMIN}.create_topics", ("topics", "timeout", "finalize_timeout")),
    Internal(f"{_ADMIN}.inspect_topics", ("topic_names", "timeout")),
    Internal(
        "quixstreams.models.topics:TopicManager.__init__",
        ("topic_admin", "consumer_group", "auto_create_topics"),
    ),
)
