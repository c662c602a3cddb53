{#
    A failing row is a commit of which the log does not hold exactly the rows its footer declares, or
    that has gone from the raw layer since it was read. Without it a source that reads as empty
    would pass every other test.

    model: the log model.
    source_name, table_name: the source it reads.
#}
{% test log_holds_all_commits(model, source_name, table_name) %}

with

commits as (

    select * from ops.commits
    where
        source_name = '{{ source_name }}'
        and table_name = '{{ table_name }}'

),

consumed as (

    select * from ops.consumed
    where consumer = '{{ model.identifier }}'

),

landed as (

    select
        _batch_id as batch_id,
        count(*) as log_rows
    from {{ model }}
    group by _batch_id

),

-- A full join: rows of a commit that nobody declared are as wrong as missing ones.
compared as (

    select
        coalesce(consumed.batch_id, landed.batch_id) as batch_id,
        commits.path,
        coalesce(commits.is_present, false) as is_in_raw,
        coalesce(commits.row_count, 0) as declared_rows,
        coalesce(landed.log_rows, 0) as log_rows
    from consumed
    full outer join landed
        on consumed.batch_id = landed.batch_id
    left join commits
        on coalesce(consumed.batch_id, landed.batch_id) = commits.batch_id

)

select * from compared
where
    not is_in_raw
    or declared_rows <> log_rows

{% endtest %}
