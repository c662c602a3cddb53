-- A failing row is a transaction whose sales do not add up to the total on its receipt.
with

transactions as (

    select * from {{ ref('int_shop__transactions_accepted') }}

),

sales as (

    select * from {{ ref('fct_sales') }}

),

sales_by_transaction as (

    select
        transaction_id,
        sum(net_amount) as net_amount
    from sales
    group by transaction_id

)

select
    transactions.transaction_id as header_transaction_id,
    sales_by_transaction.transaction_id as sales_transaction_id,
    transactions.total_amount,
    sales_by_transaction.net_amount
from transactions
full outer join sales_by_transaction
    on transactions.transaction_id = sales_by_transaction.transaction_id
where
    transactions.transaction_id is null
    or transactions.total_amount <> coalesce(sales_by_transaction.net_amount, 0)
