{#
    raw = clean + quarantined + duplicates, where duplicates are the landed rows that a later one of
    the same key replaced or repeated. A failing row shows the sums that do not add up, or how many
    keys are both clean and quarantined.

    Only commits that the clean model has read are counted, so that a run that stops after the log
    is not red.

    model: the clean (staging) model.
    source_name, table_name, key: the source and its primary key.
    log, quarantine: the models of the same source.
#}
{% test raw_is_accounted_for(model, source_name, table_name, key, log, quarantine) %}

with

consumed as (

    select * from ops.consumed
    where consumer = '{{ model.identifier }}'

),

raw_rows as (

    select coalesce(sum(row_count), 0) as row_count from ops.commits
    where
        source_name = '{{ source_name }}'
        and table_name = '{{ table_name }}'
        and batch_id in (select consumed.batch_id from consumed)

),

landed as (

    select
        count(*) as row_count,
        count(distinct {{ key }}) as keys
    from {{ log }}
    where _batch_id in (select consumed.batch_id from consumed)

),

keyless_contents as (

    select distinct
        {{ (source_columns(source_name, table_name) + ['_unrepresentable']) | join(',\n        ') }}
    from {{ log }}
    where
        {{ key }} is null
        and _batch_id in (select consumed.batch_id from consumed)

),

keyless as (

    select count(*) as row_count from keyless_contents

),

clean as (

    select count(*) as row_count from {{ model }}

),

quarantined as (

    select count(*) as row_count from {{ quarantine }}

),

in_both as (

    select count(*) as row_count from {{ model }}
    where {{ key }} in (select quarantined_rows.{{ key }} from {{ quarantine }} as quarantined_rows)

),

compared as (

    select
        raw_rows.row_count as raw_rows,
        clean.row_count as clean_rows,
        quarantined.row_count as quarantined_rows,
        landed.row_count - landed.keys - keyless.row_count as duplicate_rows,
        in_both.row_count as clean_and_quarantined_rows
    from raw_rows
    cross join landed
    cross join keyless
    cross join clean
    cross join quarantined
    cross join in_both

)

select * from compared
where
    raw_rows <> clean_rows + quarantined_rows + duplicate_rows
    or clean_and_quarantined_rows > 0

{% endtest %}
