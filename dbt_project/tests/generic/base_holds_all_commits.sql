{#
    A failing row is a commit of which the base model does not hold exactly the rows its footer
    declares, or that has gone from the raw layer since it was read. Without it a source that reads
    as empty would pass every other test.

    model: the base model.
    source_name, table_name: the source it reads.
#}
{% test base_holds_all_commits(model, source_name, table_name) %}

with

declared as (

    select * from ops.commits
    where
        source_name = '{{ source_name }}'
        and table_name = '{{ table_name }}'
        and batch_id in {{ commits_seen_by(model.identifier) }}

),

landed as (

    select
        _batch_id as batch_id,
        count(*) as base_rows
    from {{ model }}
    group by _batch_id

),

-- A full join: rows of a commit that nobody declared are as wrong as missing ones.
compared as (

    select
        coalesce(declared.batch_id, landed.batch_id) as batch_id,
        declared.path,
        declared.batch_id is not null as is_in_raw,
        coalesce(declared.row_count, 0) as declared_rows,
        coalesce(landed.base_rows, 0) as base_rows
    from declared
    full outer join landed
        on declared.batch_id = landed.batch_id

)

select * from compared
where
    not is_in_raw
    or declared_rows <> base_rows

{% endtest %}
