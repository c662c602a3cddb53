{{ config(post_hook="{{ mark_consumed() }}") }}

with

landed as (

    select * from {{ new_commits('shop', 'campaigns') }}

)

select * from landed
