with

landed as (

    select * from {{ new_commits('stream', 'power_events') }}

)

select * from landed
