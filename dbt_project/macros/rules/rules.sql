{# How the declared rules of a source become SQL. The rules themselves are in `<source>_rules.sql`. #}

{#
    All rules of a table with their defaults filled in: those every table has, then its own.

    key: the table's primary key.
#}
{% macro rules_of(source_name, table_name, key) %}
    {%- set common = [
        {
            'id': 'key_missing', 'column': key, 'version': 1, 'owner': 'data team',
            'expect': key ~ ' is not null',
            'description': 'The primary key is NULL, so the row cannot be told from others.',
        },
        {
            'id': 'value_not_representable', 'column': '_unrepresentable', 'version': 1,
            'owner': 'data team',
            'expect': '_unrepresentable is null',
            'description': 'A value does not fit its type (NaN, infinity, a year outside 1..9999);'
                ' its exact text is in _unrepresentable.',
        },
        {
            'id': 'delete_without_version', 'column': key, 'version': 1, 'owner': 'data team',
            'scope': 'related',
            'expect': 'has_version',
            'description': 'The source deleted a row of which no version ever landed.',
        },
    ] -%}
    {%- set rules = [] -%}
    {%- for declared in common + context[source_name ~ '_rules']().get(table_name, []) -%}
        {%- set rule = {
            'scope': 'row', 'null_means': 'broken', 'live_only': false, 'severity': 'error',
        } -%}
        {%- do rule.update(declared) -%}
        {%- if rule.severity != 'error' or rule.scope not in ('row', 'related')
            or rule.null_means not in ('broken', 'fine') -%}
            {%- do exceptions.raise_compiler_error(
                'rule ' ~ rule.id ~ ' has an unknown severity, scope or null_means; see '
                ~ 'macros/rules/shop_rules.sql for the ones there are'
            ) -%}
        {%- endif -%}
        {%- do rules.append(rule) -%}
    {%- endfor -%}
    {{- return(rules) -}}
{% endmacro %}


{#
    The ids of all rules a row breaks, in their declared order, separated by commas; '' when it is
    clean. Never NULL: a condition that is NULL is decided by the rule's `null_means`.

    scopes: which rules to judge by. `related` ones need `is_deleted` and the columns they name.
#}
{% macro broken_rules(source_name, table_name, key, scopes=['row', 'related']) %}
    substr(
        ''
        {%- for rule in rules_of(source_name, table_name, key) if rule.scope in scopes %}
        {%- set verdict = 'true' if rule.null_means == 'fine' else 'false' %}
        || case
            when
                {{ 'not is_deleted and ' if rule.live_only }}not coalesce({{ rule.expect }}, {{ verdict }})
                then ',{{ rule.id }}'
            else ''
        end
        {%- endfor %},
        2
    )
{%- endmacro %}


{#
    The verdict on a current version: what `broken_rules` says, but only `delete_without_version`
    for a key of which no version landed, because there is nothing else to judge.
#}
{% macro verdict(source_name, table_name, key) %}
    case
        when not has_version then 'delete_without_version'
        else {{ broken_rules(source_name, table_name, key) }}
    end
{%- endmacro %}


{#
    Names the rules in force for a table: the sum of their versions, and a fingerprint of what they
    say, which also changes when somebody forgets to raise a version.
#}
{% macro rule_version(source_name, table_name, key) %}
    {%- set rules = rules_of(source_name, table_name, key) -%}
    {%- set said = [] -%}
    {%- for rule in rules -%}
        {%- do said.append([rule.id, rule.expect, rule.scope, rule.null_means, rule.live_only]) -%}
    {%- endfor -%}
    '{{ rules | sum(attribute='version') }}-{{ local_md5(tojson(said))[:8] }}'
{%- endmacro %}
