{#
    The valid-time history of a key, replayed from the log: a subquery with the key, the tracked
    columns, valid_from and valid_to, one row per key and version.

    - A version holds from the source's own `updated_at`, but never from after it was seen (a clock
      that runs ahead must not hide what follows), and never from before its predecessor in the log.
    - The first version holds from 1900, so that facts older than our first extraction find it.
    - A version that breaks a rule of its row opens nothing: the last clean one stays valid.
    - Versions in a row with equal tracked columns are one; of several that begin at the same
      instant the last one counts.
    - A tombstone closes the version before it when the deletion was noticed. A key that returns
      opens a new one.

    source_name, table_name: whose log is replayed.
    key: the column that tells members apart; NULL keys have no history.
    parts: pairs of tracked column and kind, as for `surrogate_key`.
    affected, upstreams: which keys to look at in an incremental run, as for `is_affected`.
#}
{% macro type_2_versions(source_name, table_name, key, parts, affected, upstreams) -%}
    (
        with

        landed as (

            select
                log.*,
                case
                    when _op = 'delete' or updated_at > _extracted_at then _extracted_at
                    else coalesce(updated_at, _extracted_at)
                end as noticed_at,
                case when _op = 'delete' then 'deleted' else {{ surrogate_key(parts) }} end as state
            from {{ ref('log_' ~ source_name ~ '__' ~ table_name) }} as log
            where
                {{ key }} is not null
                and (
                    _op = 'delete'
                    or {{ broken_rules(source_name, table_name, key, ['row']) }} = ''
                )
                and {{ is_affected(key, affected, upstreams) }}

        ),

        placed as (

            select
                landed.*,
                row_number() over ({{ log_order(key, 'state') }}) as place,
                max(noticed_at) over (
                    {{ log_order(key, 'state') }}
                    rows between unbounded preceding and current row
                ) as began_at
            from landed

        ),

        bounded as (

            select
                placed.*,
                lead(began_at) over (partition by {{ key }} order by place asc nulls last)
                    as next_began_at
            from placed

        ),

        compared as (

            select
                bounded.*,
                lag(state) over (partition by {{ key }} order by place asc nulls last)
                    as earlier_state
            from bounded
            where next_began_at is null or next_began_at > began_at

        ),

        changes as (

            select
                compared.*,
                row_number() over (partition by {{ key }} order by place asc nulls last)
                    as change_number,
                lead(began_at) over (partition by {{ key }} order by place asc nulls last)
                    as ended_at
            from compared
            where
                earlier_state <> state
                or (earlier_state is null and _op = 'upsert')

        )

        select
            {{ key }},
            {%- for column, kind in parts %}
            {{ column }},
            {%- endfor %}
            case when change_number = 1 then {{ beginning_of_time() }} else began_at end
                as valid_from,
            coalesce(ended_at, {{ open_end() }}) as valid_to
        from changes
        where _op = 'upsert'
    )
{%- endmacro %}
