{#
    How the rules that a source declares in its YAML become SQL. `docs/add-a-rule.md` shows how to
    write one. Under `config.meta.rules` of the source's table each rule has

        id           its name in quarantine, unique in the project
        column       the column to look at first when mending the row
        expect       a condition that must be true
        description  what is wrong with the row, as a sentence for its owner
        owner        who mends it
        scope        row (default): decided by the row alone, also for old versions in dimensions;
                     related: needs columns that the table's `int_` model joins in
        when_null    broken (default) or fine: what a NULL condition means
        live_only    true: rows deleted at the source are not checked (default false)

    A row that breaks any rule goes to quarantine with all its reasons; the others go on.
#}

{#
    The ids of all rules a row breaks, in their declared order, separated by commas; '' when it is
    clean, never NULL. For a key of which no version landed only `delete_without_version`: there is
    nothing else to check.

    Needs the columns of `current_version`, and for `related` rules those they name.
#}
{% macro broken_rules(source_name, table_name, scope='row') %}
    {%- if scope == 'row' -%}
    case
        when not has_version then 'delete_without_version'
        else {{ broken_rules_of(rules_of(source_name, table_name, scope)) }}
    end
    {%- else -%}
        {{ broken_rules_of(rules_of(source_name, table_name, scope)) }}
    {%- endif -%}
{%- endmacro %}


{# A condition on rows of a base model: a tombstone, or a version that breaks no rule of its own. #}
{% macro opens_a_version(source_name, table_name) -%}
    (
        _op = 'delete'
        or {{ broken_rules_of(
            rules_of(source_name, table_name, 'row') | rejectattr('live_only') | list
        ) }} = ''
    )
{%- endmacro %}


{% macro broken_rules_of(rules) -%}
    substr(
        ''
        {%- for rule in rules %}
        || case
            when
                {{ 'not is_deleted and ' if rule.live_only -}}
                not coalesce({{ rule.expect }}, {{ rule.when_null == 'fine' }})
                then ',{{ rule.id }}'
            else ''
        end
        {%- endfor %},
        2
    )
{%- endmacro %}


{# Two lists of broken rules as one. #}
{% macro joined_rules(first, second) -%}
    {{ first }}
    || case when {{ first }} <> '' and {{ second }} <> '' then ',' else '' end
    || {{ second }}
{%- endmacro %}


{# Names the rules in force for a table: a fingerprint of what they say. #}
{% macro rule_version(source_name, table_name) -%}
    {%- set said = [] -%}
    {%- for scope in ['row', 'related'] -%}
        {%- for rule in rules_of(source_name, table_name, scope) -%}
            {%- do said.append([rule.id, rule.expect, rule.scope, rule.when_null, rule.live_only]) -%}
        {%- endfor -%}
    {%- endfor -%}
    '{{ local_md5(tojson(said))[:8] }}'
{%- endmacro %}


{# The rules of a table with their defaults filled in: those every table has, then its own. #}
{% macro rules_of(source_name, table_name, scope) %}
    {%- if not execute -%}
        {{- return([]) -}}
    {%- endif -%}
    {%- set meta = source_meta(source_name, table_name) -%}
    {%- set rules = [] -%}
    {%- for declared in common_rules(meta.primary_key) + meta.get('rules', []) -%}
        {%- set rule = {'scope': 'row', 'when_null': 'broken', 'live_only': false} -%}
        {%- do rule.update(declared) -%}
        {%- if rule.scope not in ('row', 'related') or rule.when_null not in ('broken', 'fine') -%}
            {%- do exceptions.raise_compiler_error(
                'rule ' ~ rule.id ~ ' of ' ~ source_name ~ '.' ~ table_name ~ ' has an unknown scope '
                ~ 'or when_null; see docs/add-a-rule.md for the ones there are'
            ) -%}
        {%- endif -%}
        {%- if rule.scope == scope -%}
            {%- do rules.append(rule) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(rules) -}}
{% endmacro %}


{% macro common_rules(primary_key) %}
    {{- return([
        {
            'id': 'key_missing',
            'expect': primary_key | join(' is not null and ') ~ ' is not null',
            'description': 'The primary key is NULL, so the row cannot be told from others.',
        },
        {
            'id': 'value_not_representable',
            'expect': '_unrepresentable is null',
            'description': 'A value does not fit its type (NaN, infinity, a year outside 1..9999);'
                ' its exact text is in _unrepresentable.',
        },
    ]) -}}
{% endmacro %}
