{#
    A failing row is a range of offsets that no commit of its partition holds, between two commits
    that others follow.

    model: the landed records of a stream.
#}
{% test offsets_have_no_gaps(model) %}

select
    log_id,
    topic,
    topic_partition,
    landed_before + 1 as first_missing_offset,
    first_offset - 1 as last_missing_offset,
    _batch_id as landed_after
from {{ landed_offsets(model, model.identifier) }} as landed
where
    first_offset > landed_before + 1
    and not is_newest

{% endtest %}
