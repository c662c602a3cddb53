-- A failing row is a combination of values whose key is not the MD5 of its canonical text. The
-- expected keys were computed apart from SQL: md5 of `length:value` or `-`, joined by commas. They
-- must never change: keys in the marts would.
{% set kinds = ['text', 'int', 'decimal(12,2)', 'timestamp', 'bool', 'date'] -%}
{% set types = [
    dbt.type_string(), 'bigint', 'decimal(12, 2)', timestamp_type(), 'boolean', 'date'
] -%}
{% set cases = [
    (
        'every kind',
        ["'Ada'", "7", "12.5", "'2026-03-01 12:00:00.000001+00:00'", "true", "'2026-03-01'"],
        '5e46cb184f340d6cb7c92de44baf8d07',
    ),
    (
        'all null',
        ['null', 'null', 'null', 'null', 'null', 'null'],
        '849b01d977ea0999132e09f809bec88d',
    ),
    (
        'empty text is not null',
        ["''", 'null', 'null', 'null', 'null', 'null'],
        '45ec7686ae28c7bb69828c43f7305171',
    ),
    (
        'the text of null is not null',
        ["'-'", 'null', 'null', 'null', 'null', 'null'],
        'bcb18ea344a6aef54867a12c545502ae',
    ),
    (
        'a separator in the text',
        ["'a,1:b'", "1", 'null', 'null', 'null', 'null'],
        '8cc781e8fe2ef6003b2795e1dd2d9f4c',
    ),
    (
        'characters are counted, not bytes',
        ["'Zoë'", 'null', 'null', 'null', 'null', 'null'],
        'ba5794db1646ffb96b897ec1a2691b31',
    ),
    (
        'negative numbers and times',
        ["'x'", "-7", "-0.1", "'1900-01-01 00:00:00+00:00'", "false", "'1900-01-01'"],
        '28e1b600743eb5a70ed6d5eb3758a79e',
    ),
    (
        'the widest decimal and the open end',
        ["'x'", "9223372036854775807", "9999999999.99", "'9999-12-31 00:00:00+00:00'", 'null', 'null'],
        '88ebd7096c13100ae02bdb4b952bbfc6',
    ),
] -%}
with

inputs as (

    {% for name, literals, expected in cases -%}
    select
        '{{ name }}' as case_name,
        {%- for literal in literals %}
        cast({{ literal }} as {{ types[loop.index0] }}) as value_{{ loop.index }},
        {%- endfor %}
        '{{ expected }}' as expected
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

keyed as (

    select
        inputs.case_name,
        inputs.expected,
        {{ surrogate_key([
            ('value_1', kinds[0]), ('value_2', kinds[1]), ('value_3', kinds[2]),
            ('value_4', kinds[3]), ('value_5', kinds[4]), ('value_6', kinds[5]),
        ]) }} as actual
    from inputs

)

select * from keyed
where actual <> expected
