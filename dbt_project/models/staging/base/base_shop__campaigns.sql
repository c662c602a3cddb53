with

landed as (

    select * from {{ new_commits('shop', 'campaigns') }}

)

select * from landed
