with

landed as (

    select * from {{ new_commits('shop', 'transaction_items') }}

)

select * from landed
