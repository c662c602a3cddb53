-- A failing row is a source table of which landed rows are lost or counted twice:
-- raw = clean + quarantined + repeated.
select * from {{ ref('source_accounting') }}
where raw_rows <> clean_rows + quarantined_rows + repeated_rows
