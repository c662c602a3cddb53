{#
    The valid-time history of each key, replayed from its versions (slowly changing dimension type 2):
    a subquery over the CTE `versions` (rows of a base model that have a key and break no rule of
    their own, and tombstones): some of its columns, valid_from and valid_to, one row per version.

    - A version holds from the source's own time of change (`_changed_at`), but never from after it
      was seen: a clock that runs ahead must not hide what follows. Without that time, or with one
      from before 1900, it holds from when it was seen.
    - What was published is not taken back: a version whose time is not later than those of all
      versions before it begins when it was seen, and from then on none begins before its predecessor
      was seen.
    - The first version holds from 1900, so that facts older than our first extraction find it.
    - Versions in a row with equal content are one; of two seen at the same instant the last counts.
    - A tombstone closes the version before it when the deletion was noticed. A key that returns
      opens a new one.

    columns: names of the columns to carry along.

    Example:

        versions as (
            select * from {{ ref('base_shop__products') }}
            where product_id is not null and {{ opens_a_version('shop', 'products') }}
        ),
        history as (select * from {{ type_2(['product_id', 'category', 'unit_price']) }})
#}
{% macro type_2(columns) -%}
    (
        with

        repeated_keys as ({{ repeated_keys() }}),

        timed as (

            select
                versions.*,
                case
                    when _op = 'delete' then 'deleted'
                    else cast(_content_hash as {{ dbt.type_string() }})
                end as state,
                case
                    when
                        _op = 'delete'
                        or _changed_at > _extracted_at
                        or _changed_at <= {{ beginning_of_time() }}
                        then _extracted_at
                    else coalesce(_changed_at, _extracted_at)
                end as changed_at,
                row_number() over ({{ landing_order() }}) as place
            from versions
            where _record_key in (select repeated_keys._record_key from repeated_keys)

        ),

        distinct_states as (

            select *
            from (
                select
                    timed.*,
                    lag(state) over (partition by _record_key order by place asc nulls last)
                        as state_before
                from timed
            ) as compared
            where state_before is null or state_before <> state

        ),

        compared as (

            select
                distinct_states.*,
                max(changed_at) over (
                    in_order rows between unbounded preceding and 1 preceding
                ) as latest_before,
                lag(_extracted_at) over in_order as seen_before
            from distinct_states
            window in_order as (partition by _record_key order by place asc nulls last)

        ),

        backdated as (

            select
                compared.*,
                max(case when changed_at <= latest_before then 1 else 0 end) over (
                    partition by _record_key order by place asc nulls last
                    rows between unbounded preceding and current row
                ) as has_backdated
            from compared

        ),

        begun as (

            select
                backdated.*,
                case
                    when has_backdated = 1 and changed_at <= seen_before then _extracted_at
                    else changed_at
                end as began_at
            from backdated

        ),

        bounded as (

            select
                begun.*,
                lead(began_at) over (partition by _record_key order by place asc nulls last)
                    as next_began_at
            from begun

        ),

        distinct_instants as (

            select
                bounded.*,
                lag(state) over (partition by _record_key order by place asc nulls last)
                    as earlier_state
            from bounded
            where next_began_at is null or next_began_at > began_at

        ),

        changes as (

            select
                distinct_instants.*,
                row_number() over (partition by _record_key order by place asc nulls last)
                    as change_number,
                lead(began_at) over (partition by _record_key order by place asc nulls last)
                    as ended_at
            from distinct_instants
            where
                earlier_state <> state
                or (earlier_state is null and _op = 'upsert')

        )

        select
            {%- for column in columns %}
            {{ column }},
            {%- endfor %}
            case when change_number = 1 then {{ beginning_of_time() }} else began_at end
                as valid_from,
            coalesce(ended_at, {{ open_end() }}) as valid_to
        from changes
        where _op = 'upsert'
        union all
        select
            {%- for column in columns %}
            {{ column }},
            {%- endfor %}
            {{ beginning_of_time() }} as valid_from,
            {{ open_end() }} as valid_to
        from versions
        where
            _op = 'upsert'
            and _record_key not in (select repeated_keys._record_key from repeated_keys)
    )
{%- endmacro %}


{#
    Until when a type 2 version answers for facts: until its successor begins. Within its validity,
    and also in the gap after a deletion, where a fact still belongs to the member as last known.
#}
{% macro responsible_until(key) -%}
    coalesce(
        lead(valid_from) over (partition by {{ key }} order by valid_from asc nulls last),
        {{ open_end() }}
    )
{%- endmacro %}
