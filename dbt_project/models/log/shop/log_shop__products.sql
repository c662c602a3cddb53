{{ config(post_hook="{{ mark_consumed() }}") }}

with

landed as (

    select * from {{ new_commits('shop', 'products') }}

)

select * from landed
