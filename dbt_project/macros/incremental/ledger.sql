{#
    Who has seen what, so that an incremental model looks at exactly what changed below it. Log
    models keep `ops.consumed` for raw commits (macros/raw); this is the same ledger one level up.

    A row (model, batch) says that the model took in what a raw commit changed. It can take in one
    commit more than once: a run of a part of the project lets one of its upstreams see the commit
    before another. So rows are counted, never just looked for: a model has to look again whenever
    an upstream has more rows of a batch than it has noted for that upstream, under the name
    'model < upstream'.
#}

{# Batches in which an upstream changed something since this model last looked. #}
{% macro changed_batches(upstreams) -%}
    (
    {%- for upstream in upstreams %}
        (
            select batch_id from ops.consumed where consumer = '{{ upstream }}'
            except all
            select batch_id from ops.consumed where consumer = '{{ this.identifier ~ ' < ' ~ upstream }}'
        )
        {{- ' union' if not loop.last }}
    {%- endfor %}
    )
{%- endmacro %}


{#
    For post_hook: notes, in the transaction that wrote the model, what it has now seen. After a full
    refresh all that follow it look at every batch again: what it says may have changed.
#}
{% macro mark_followed(upstreams) -%}
    {%- if execute and target.type == 'duckdb' -%}
        insert into ops.consumed
        select distinct
            '{{ this.identifier }}' as consumer,
            batch_id
        from
        {%- if should_full_refresh() %}
            ops.consumed
        where consumer in ('{{ upstreams | join("', '") }}');
        {%- else %}
            {{ changed_batches(upstreams) }} as changed;
        {%- endif %}
        {%- for upstream in upstreams %}
        insert into ops.consumed
        select
            '{{ this.identifier ~ ' < ' ~ upstream }}' as consumer,
            batch_id
        from {{ changed_batches([upstream]) }} as changed;
        {%- endfor %}
    {%- endif -%}
{%- endmacro %}
