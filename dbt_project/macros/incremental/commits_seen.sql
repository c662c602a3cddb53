{#
    Which commits a model reflects. The kernel numbers the runs of dbt and notes for each raw commit
    the first run that saw it (`ops.commits`). A model reflects all commits up to a run, its
    `commits_through`: as far as the least advanced of what it reads. So after a run of a part of the
    project nothing is taken for seen that was not.
#}

{# Post-hook of every model, in its transaction: notes what it now reflects. #}
{% macro note_commits() -%}
    {%- if execute and has_ledger() -%}
        insert into ops.model_runs
        select
            '{{ this.identifier }}' as model,
            {{ current_run() }} as run,
            {{ parents_through() }} as commits_through,
            {%- if should_full_refresh() %}
            {{ current_run() }} as rebuilt_in,
            {%- else %}
            coalesce(
                (
                    select greatest(rebuilt_in, {{ parents_rebuilt() }}) from ops.models
                    where model = '{{ this.identifier }}' and code = {{ current_code() }}
                ),
                {{ current_run() }}
            ) as rebuilt_in,
            {%- endif %}
            {{ current_code() }} as code
    {%- endif -%}
{%- endmacro %}


{# The runs whose commits the model has yet to look at: those after `after`, as far as `through`. #}
{% macro commit_range() %}
    {%- if not execute -%}
        {{- return({'after': 0, 'through': 0}) -}}
    {%- endif -%}
    {%- set query -%}
        select
            coalesce(
                (select recorded_through from ops.models where model = '{{ this.identifier }}'), 0
            ),
            {{ parents_through() }}
    {%- endset -%}
    {%- set row = run_query(query).rows[0] -%}
    {{- return({'after': row[0] | int, 'through': row[1] | int}) -}}
{% endmacro %}


{#
    dbt's own question, answered with more: an incremental model is also built anew when something it
    reads was, or when its code, a macro, or the declaration of a source has changed since it was
    built. Otherwise it would hold rows that a rebuild would not give.
#}
{% macro should_full_refresh() %}
    {%- set configured = config.get('full_refresh') -%}
    {%- if configured is not none -%}
        {{- return(configured) -}}
    {%- elif flags.FULL_REFRESH -%}
        {{- return(true) -}}
    {%- elif config.get('materialized') != 'incremental' or not execute or not has_ledger() -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set query -%}
        select count(*) from ops.models
        where
            model = '{{ this.identifier }}'
            and run >= {{ parents_rebuilt() }}
            and code = {{ current_code() }}
    {%- endset -%}
    {{- return(run_query(query).columns[0].values()[0] == 0) -}}
{% endmacro %}


{# Other engines than DuckDB, and commands that build nothing, have no such notes. #}
{% macro has_ledger() %}
    {{- return(
        target.type == 'duckdb' and target.path != ':memory:' and flags.WHICH in run_commands()
    ) -}}
{% endmacro %}


{% macro current_run() -%}
    (select max(run) from ops.runs)
{%- endmacro %}


{# The model's own SQL, and what it shares with all others (`lakehouse/dbt/code.py`). #}
{% macro current_code() -%}
    ('{{ local_md5(model.raw_code) }}' || (select max_by(code, run) from ops.runs))
{%- endmacro %}


{# How far the least advanced of the models it reads has come; raw itself is always up to date. #}
{% macro parents_through() -%}
    coalesce(
        (select min(commits_through) from ops.models where model in ({{ parent_models() }})),
        {{ current_run() }}
    )
{%- endmacro %}


{% macro parents_rebuilt() -%}
    coalesce(
        (select max(rebuilt_in) from ops.models where model in ({{ parent_models() }})), 0
    )
{%- endmacro %}


{% macro parent_models() -%}
    {%- set names = [] -%}
    {%- for parent in model.refs -%}
        {%- do names.append("'" ~ parent.name ~ "'") -%}
    {%- endfor -%}
    {{ names | join(', ') if names else 'null' }}
{%- endmacro %}


{# For tests: the batches of the commits that a model reflects, as a subquery. #}
{% macro commits_seen_by(model_name) -%}
    (
        select batch_id from ops.commits
        where
            is_present
            and run <= (select commits_through from ops.models where model = '{{ model_name }}')
    )
{%- endmacro %}
