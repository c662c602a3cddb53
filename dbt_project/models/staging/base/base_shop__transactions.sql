with

landed as (

    select * from {{ new_commits('shop', 'transactions') }}

)

select * from landed
