with

landed as (

    select * from {{ new_commits('stream', 'climate_windows') }}

)

select * from landed
