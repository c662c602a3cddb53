with

landed as (

    select * from {{ new_commits('stream', 'power_windows') }}

)

select * from landed
