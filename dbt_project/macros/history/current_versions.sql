{#
    A subquery over the CTE `versions` (rows of a log model): one row per key, its last version, and
    whether the source has deleted it since. A deleted row keeps the attributes of the version
    before its tombstone, because a tombstone carries only the key; of several tombstones the first
    one dates the deletion. Rows without a key are told apart by their content, so that a repeated
    one is one row.

    Columns: those of the source, then _unrepresentable, keyless_content (a hash of the content of a
    row without a key, else NULL), has_version (false for a key of which only tombstones landed),
    is_deleted, deleted_at, first_seen_at and last_seen_at (first and last landing of this very
    version), and _extracted_at and _batch_id of the commit that made it so.

    key: the primary key.
    content: pairs of name and kind of the source's columns, as for `surrogate_key`.
#}
{% macro current_versions(key, content) -%}
    {%- set partition = key ~ ', keyless_content' -%}
    (
        with

        hashed as (

            select
                versions.*,
                {{ surrogate_key(content + [('_unrepresentable', 'text')]) }} as content
            from versions

        ),

        keyed as (

            select
                hashed.*,
                case when {{ key }} is null then content end as keyless_content
            from hashed

        ),

        placed as (

            select
                keyed.*,
                row_number() over log_order as place,
                sum(case when _op = 'upsert' then 1 else 0 end) over (
                    {{ log_order(partition, 'content') }}
                    rows between unbounded preceding and current row
                ) as upserts_so_far,
                sum(case when _op = 'upsert' then 1 else 0 end) over same_key as upserts,
                lead(_op) over log_order as next_op,
                lead(_extracted_at) over log_order as next_extracted_at,
                lead(_batch_id) over log_order as next_batch_id,
                min(_extracted_at) over same_version as first_seen_at,
                max(_extracted_at) over same_version as last_seen_at
            from keyed
            window
                log_order as ({{ log_order(partition, 'content') }}),
                same_key as (partition by {{ partition }}),
                same_version as (partition by {{ partition }}, _op, content)

        )

        select
            {%- for column, kind in content %}
            {{ column }},
            {%- endfor %}
            _unrepresentable,
            keyless_content,
            upserts > 0 as has_version,
            _op = 'delete' or next_op is not null as is_deleted,
            case when _op = 'delete' then _extracted_at else next_extracted_at end as deleted_at,
            first_seen_at,
            last_seen_at,
            coalesce(next_extracted_at, _extracted_at) as _extracted_at,
            coalesce(next_batch_id, _batch_id) as _batch_id
        from placed
        where
            (_op = 'upsert' and upserts_so_far = upserts)
            or (upserts = 0 and place = 1)
    )
{%- endmacro %}
