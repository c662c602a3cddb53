{#
    The order in which the versions of a key replace each other: as the source was seen, then as it
    was landed. Of a delete and an upsert in one commit the upsert is the later: the snapshot saw the
    row, and a row lost is worse than a deletion noticed by the next reconciliation. The content
    makes the order total, so that a rebuild never decides differently.

    partition: columns that tell keys apart.
    content: expression over the content, equal only for equal versions.
#}
{% macro log_order(partition, content) -%}
    partition by {{ partition }}
    order by
        _extracted_at asc nulls first,
        _batch_id asc nulls first,
        _op asc nulls first,
        updated_at asc nulls first,
        {{ content }} asc nulls first
{%- endmacro %}
