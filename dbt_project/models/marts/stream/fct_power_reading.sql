{{ config(materialized='view') }}
{{ fct_stream_reading('power') }}
