with

landed as (

    select * from {{ new_commits('shop', 'customers') }}

)

select * from landed
