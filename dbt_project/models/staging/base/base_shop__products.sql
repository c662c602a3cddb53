with

landed as (

    select * from {{ new_commits('shop', 'products') }}

)

select * from landed
