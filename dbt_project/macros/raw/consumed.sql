{#
    For post_hook of a model that reads raw commits: records, in the transaction that wrote the
    model, which it has now read. After a kill there are both or neither.
#}
{% macro mark_consumed() %}
    {%- if execute and target.type == 'duckdb' -%}
        {%- if should_full_refresh() %}
            delete from ops.consumed where consumer = '{{ this.identifier }}';
        {%- endif %}
        insert into ops.consumed
        select
            '{{ this.identifier }}' as consumer,
            batch_id
        from ops.commits
        where
            is_present
            and (
            {%- for source_name, table_name in model.sources %}
                (source_name = '{{ source_name }}' and table_name = '{{ table_name }}')
                {{- ' or' if not loop.last }}
            {%- endfor %}
            )
            and batch_id not in (
                select batch_id from ops.consumed where consumer = '{{ this.identifier }}'
            )
    {%- endif -%}
{% endmacro %}
