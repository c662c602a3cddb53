{#
    Incremental by commit: how a model looks only at what new raw commits have touched, whatever its
    business time. `docs/how-a-build-works.md` shows it on an example.

    A model says `materialized='incremental'` and its `unique_key`; the strategy `by_commit` is the
    project's default. Above its query it names the keys that new commits touch, and in its query it
    filters by them:

        {% call affected_keys() %}
            select _record_key from {{ ref('base_shop__transactions') }} where {{ is_new_commit() }}
        {% endcall %}

        ... where {{ is_affected('_record_key') }}

    Too many keys cost time, one too few costs the truth: a row that moved from one parent to another
    affects both, and a tombstone, which carries only its key, affects all it was ever linked to. So
    links are followed through every version that ever landed, which is what base models hold.
#}

{#
    Computes the keys once, before the model's query, into a temporary table.

    caller: a query of the columns of `unique_key`; duplicates do not matter.
#}
{% macro affected_keys() -%}
    {%- if not execute -%}
        {%- do caller() -%}
    {%- elif follows_commits() -%}
        {%- do run_query(
            'create or replace temporary table ' ~ affected_table() ~ ' as ' ~ caller()
        ) -%}
    {%- endif -%}
{%- endmacro %}


{#
    A condition: true for affected keys in an incremental run, and for all keys otherwise.

    key: the column, or the columns in parentheses, compared with the query of `affected_keys`.
#}
{% macro is_affected(key) -%}
    {%- if execute and follows_commits() -%}
        {{ key }} in (select * from {{ affected_table() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{# A condition on rows of a base model: whether this model has yet to look at their commit. #}
{% macro is_new_commit() -%}
    {%- set state = model_state() if execute else {'after': 0, 'through': 0} -%}
    _batch_id in (
        select batch_id from ops.commits where run > {{ state.after }} and run <= {{ state.through }}
    )
{%- endmacro %}


{#
    The strategy: what the model says about the affected keys replaces all that it said before. dbt's
    own delete+insert deletes only keys that come back, so a key that has nothing to say any more
    would stay for ever. Delete, insert and the post-hook `note_commits` are one transaction.
#}
{% macro get_incremental_by_commit_sql(arg_dict) -%}
    {%- set key = arg_dict.unique_key -%}
    {%- set keys = [key] if key is string else key -%}
    {%- set columns = get_quoted_csv(arg_dict.dest_columns | map(attribute='name')) -%}
    {%- do model.update({'_is_by_commit': true}) -%}
    delete from {{ arg_dict.target_relation }}
    where ({{ keys | join(', ') }}) in (select * from {{ affected_table() }});
    insert into {{ arg_dict.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arg_dict.temp_relation }}
    {%- if is_published() and has_notes() %};
    create table if not exists {{ changes_table() }} as
    select *, cast(null as bigint) as _run
    from {{ affected_table() }} as changed ({{ keys | join(', ') }})
    where false;
    insert into {{ changes_table() }}
    select *, {{ model_state().run }} from {{ affected_table() }}
    {%- endif %}
{%- endmacro %}


{# Whether this is an incremental run of a model: not a first build, nor a unit test or `compile`. #}
{% macro follows_commits() %}
    {{- return(
        model.resource_type == 'model' and flags.WHICH in run_commands() and is_incremental()
    ) -}}
{% endmacro %}


{% macro affected_table() -%}
    temp.main.affected__{{ this.identifier }}
{%- endmacro %}


{# The keys that runs since the last published version have replaced; see lakehouse/publishing. #}
{% macro changes_table() -%}
    ops."changes of {{ this.schema }}.{{ this.identifier }}"
{%- endmacro %}


{% macro is_published() %}
    {{- return(this.schema in var('published_schemas')) -}}
{% endmacro %}
