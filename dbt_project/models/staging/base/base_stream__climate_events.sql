with

landed as (

    select * from {{ new_commits('stream', 'climate_events') }}

)

select * from landed
