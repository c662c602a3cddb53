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


_CONTEXT = "quixstreams.processing:ProcessingContext"
_CONSUMER = "quixstreams.internal_consumer:InternalConsumer"
_ADMIN = "quixstreams.models.topics:TopicAdmin"
_TRANSACTION = "quixstreams.state.base:PartitionTransaction"
INTERNALS = (
    Internal("quixstreams.app:Application.__init__", ("state_dir", "topic_manager")),
    Internal("quixstreams.app:Application._on_lost", ("topic_partitions",)),
    Internal("quixstreams.dataframe:StreamingDataFrame.processing_context"),
    Internal("quixstreams.dataframe:StreamingDataFrame.register_store"),
    Internal("quixstreams.dataframe:StreamingDataFrame.stream_id"),
    Internal("quixstreams.kafka:ConnectionConfig.from_librdkafka_dict"),
    Internal("quixstreams.models.messagecontext:MessageContext.offset"),
    Internal("quixstreams.models.messagecontext:MessageContext.partition"),
    Internal(f"{_CONTEXT}.checkpoint"),
    Internal(f"{_CONTEXT}.commit_checkpoint", ("force",)),
    Internal(f"{_CONTEXT}.consumer"),
    Internal(f"{_CONTEXT}.dataframe_registry"),
    Internal(f"{_CONTEXT}.init_checkpoint"),
    Internal(f"{_CONTEXT}.producer"),
    Internal(f"{_CONTEXT}.sink_manager"),
    Internal(f"{_CONTEXT}.state_manager"),
    Internal("quixstreams.checkpointing:Checkpoint.get_store_transaction", ("stream_id",)),
    Internal("quixstreams.dataframe:DataFrameRegistry.register_periodic_task"),
    Internal("quixstreams.sinks:SinkManager.register", ("sink",)),
    Internal("quixstreams.sinks.base:BaseSink.__init__", ("on_client_connect_success",)),
    Internal("quixstreams.sinks.base:BaseSink.flush"),
    Internal("quixstreams.sinks.base:BaseSink.on_paused"),
    Internal("quixstreams.sinks.base:SinkBackpressureError.__init__", ("retry_after",)),
    Internal("quixstreams.state:StateStoreManager.get_store", ("stream_id",)),
    Internal("quixstreams.state:StateStoreManager.recovery_required"),
    Internal("quixstreams.state.base:Store.partitions"),
    Internal(f"{_TRANSACTION}.get_bytes", ("key", "prefix")),
    Internal(f"{_TRANSACTION}.set_bytes", ("key", "value", "prefix")),
    Internal(f"{_CONSUMER}.assignment"),
    Internal(f"{_CONSUMER}.committed", ("timeout",)),
    Internal(f"{_CONSUMER}.get_watermark_offsets", ("timeout", "cached")),
    Internal(f"{_CONSUMER}.position"),
    Internal(
        "quixstreams.internal_producer:InternalProducer.produce",
        ("topic", "key", "value", "headers"),
    ),
    Internal(f"{_ADMIN}.admin_client"),
    Internal(f"{_ADMIN}.create_topics", ("topics", "timeout", "finalize_timeout")),
    Internal(f"{_ADMIN}.inspect_topics", ("topic_names", "timeout")),
    Internal(
        "quixstreams.models.topics:TopicManager.__init__",
        ("topic_admin", "consumer_group", "auto_create_topics"),
    ),
)
