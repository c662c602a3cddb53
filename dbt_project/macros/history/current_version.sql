{#
    A subquery over the CTE `versions` (rows of a base model): one row per key, its last version.

    The last one in the order in which they were landed counts, whatever its cursor says: each
    extraction reads one snapshot, so the later snapshot is the truth about a key. A deleted row keeps
    the attributes of the version before its tombstone, because a tombstone carries only the key; of
    several tombstones the first one dates the deletion.

    Columns: those of `versions`, and
        has_version     false for a key of which only tombstones landed
        is_deleted      the source has deleted it since
        deleted_at      when the deletion was noticed
        first_seen_at, last_seen_at     first and last landing of this very content

    Example:

        versions as (select * from {{ ref('base_shop__customers') }}),
        current_versions as (select * from {{ current_version() }})
#}
{% macro current_version() -%}
    (
        with

        repeated_keys as ({{ repeated_keys() }}),

        placed as (

            select
                versions.*,
                row_number() over landing_order as place,
                lead(_op) over landing_order as next_op,
                lead(_extracted_at) over landing_order as next_extracted_at,
                min(_extracted_at) over same_content as first_seen_at,
                max(_extracted_at) over same_content as last_seen_at
            from versions
            where _record_key in (select repeated_keys._record_key from repeated_keys)
            window
                landing_order as ({{ landing_order() }}),
                same_content as (partition by _record_key, _op, _content_hash)

        ),

        counted as (

            select
                placed.*,
                max(case when _op = 'upsert' then place end) over (partition by _record_key)
                    as last_version
            from placed

        ),

        last_versions as (

            select * from counted
            where place = coalesce(last_version, 1)
            union all
            select
                versions.*,
                1 as place,
                null as next_op,
                null as next_extracted_at,
                _extracted_at as first_seen_at,
                _extracted_at as last_seen_at,
                case when _op = 'upsert' then 1 end as last_version
            from versions
            where _record_key not in (select repeated_keys._record_key from repeated_keys)

        )

        select
            last_versions.*,
            last_version is not null as has_version,
            _op = 'delete' or next_op is not null as is_deleted,
            case when _op = 'delete' then _extracted_at else next_extracted_at end as deleted_at
        from last_versions
    )
{%- endmacro %}


{#
    The order in which the versions of a key replace each other: as the source was seen, then as it
    was landed. Of a delete and an upsert in one commit the upsert is the later: the snapshot saw the
    row, and a row lost is worse than a deletion noticed by the next reconciliation. The last two
    columns make the order total, so that a rebuild never decides differently.
#}
{% macro landing_order() -%}
    partition by _record_key
    order by
        _extracted_at asc nulls first,
        _batch_id asc nulls first,
        _op asc nulls first,
        _changed_at asc nulls first,
        _content_hash asc nulls first
{%- endmacro %}


{# Keys of the CTE `versions` that landed more than once: only these need their versions in order. #}
{% macro repeated_keys() -%}
    select _record_key from versions
    group by _record_key
    having count(*) > 1
{%- endmacro %}
