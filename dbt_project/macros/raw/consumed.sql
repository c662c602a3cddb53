{#
    Batch ids that upstream models have read and this model has not: what an incremental model has
    to look at, whatever the business time of the rows. Set difference, never "greater than": a
    smaller id can become visible later.

    upstreams: names of the models whose batches this one follows, one name or a list.
#}
{% macro pending_batches(upstreams) %}
    {%- set names = [upstreams] if upstreams is string else upstreams -%}
    (
        select batch_id
        from ops.consumed
        where
            consumer in ('{{ names | join("', '") }}')
            and batch_id not in (
                select batch_id from ops.consumed where consumer = '{{ this.identifier }}'
            )
    )
{% endmacro %}


{#
    For post_hook: records, in the transaction that wrote the model, what it has now read.

    upstreams: as for `pending_batches`; empty for a model that reads raw commits itself.
#}
{% macro mark_consumed(upstreams=[]) %}
    {%- if execute and target.type == 'duckdb' -%}
        {%- set names = [upstreams] if upstreams is string else upstreams -%}
        {%- if should_full_refresh() %}
            delete from ops.consumed where consumer = '{{ this.identifier }}';
        {%- endif %}
        insert into ops.consumed
        select distinct
            '{{ this.identifier }}' as consumer,
            batch_id
        {%- if names %}
        from ops.consumed
        where
            consumer in ('{{ names | join("', '") }}')
        {%- else %}
        from ops.commits
        where
            is_present
            and (
            {%- for source_name, table_name in model.sources %}
                (source_name = '{{ source_name }}' and table_name = '{{ table_name }}')
                {{- ' or' if not loop.last }}
            {%- endfor %}
            )
        {%- endif %}
            and batch_id not in (
                select batch_id from ops.consumed where consumer = '{{ this.identifier }}'
            )
    {%- endif -%}
{% endmacro %}
