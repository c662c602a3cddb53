-- A failing row is a table of which landed rows are lost or counted twice:
-- raw = clean + quarantined + repeated.
select * from {{ ref('accounting_stream') }}
where raw_rows <> clean_rows + quarantined_rows + repeated_rows
