{#
    Which commits a model reflects. The kernel numbers the runs of dbt and notes for each raw commit
    the first run that saw it (`ops.commits`). A model reflects all commits up to a run, its
    `commits_through`: as far as the least advanced of what it reads. So after a run of a part of the
    project nothing is taken for seen that was not.
#}

{#
    What a model has to know about itself, asked once per model:

        run       this run
        after     it has looked at the commits of runs up to this one
        through   and has yet to look at those of later runs, as far as this one
        code      fingerprint of its SQL and of what all models share (`lakehouse/dbt/fingerprint.py`)
        rebuilt_in    the run that built it, or something it reads, anew for the last time
        replaced_in   the last run that replaced the whole table, by whatever means
        is_stale  whether it must be built anew
#}
{% macro model_state() %}
    {%- if model.get('_state') -%}
        {{- return(model._state) -}}
    {%- endif -%}
    {%- set parents = [] -%}
    {%- for parent in model.refs -%}
        {%- do parents.append("'" ~ parent.name ~ "'") -%}
    {%- endfor -%}
    {%- set query -%}
        select
            current_run.run,
            current_run.code,
            coalesce(min(case when is_self then recorded_through end), 0) as self_through,
            coalesce(min(case when is_self then models.run end), -1) as self_run,
            coalesce(min(case when is_self then models.code end), '') as self_code,
            coalesce(min(case when is_self then models.rebuilt_in end), 0) as self_rebuilt_in,
            coalesce(min(case when not is_self then commits_through end), current_run.run),
            coalesce(max(case when not is_self then models.rebuilt_in end), 0),
            coalesce(min(case when is_self then models.replaced_in end), 0)
        from (select run, code from ops.runs order by run desc limit 1) as current_run
        left join (select *, model = '{{ this.identifier }}' as is_self from ops.models) as models
            on models.model in ({{ (parents + ["'" ~ this.identifier ~ "'"]) | join(', ') }})
        group by current_run.run, current_run.code
    {%- endset -%}
    {%- set row = run_query(query).rows[0] -%}
    {%- set code = local_md5(model.raw_code) ~ row[1] -%}
    {%- set is_same_code = row[4] == code -%}
    {%- set parents_rebuilt = row[7] | int -%}
    {%- set state = {
        'run': row[0] | int,
        'after': row[2] | int,
        'through': row[6] | int,
        'code': code,
        'rebuilt_in': [row[5] | int, parents_rebuilt] | max if is_same_code else row[0] | int,
        'is_stale': not is_same_code or (row[3] | int) < parents_rebuilt,
        'replaced_in': row[8] | int,
    } -%}
    {%- do model.update({'_state': state}) -%}
    {{- return(state) -}}
{% endmacro %}


{#
    Post-hook of every model, in its transaction: notes what it now reflects. Only where the strategy
    `by_commit` alone has written are the changed keys known; a hook of somebody else may have written
    more.
#}
{% macro note_commits() -%}
    {%- if execute and has_notes() -%}
        {%- set state = model_state() -%}
        {%- set hooks = (model.config['pre-hook'] or []) + (model.config['post-hook'] or []) -%}
        {%- set is_by_commit = model.get('_is_by_commit') and hooks | length == 1 -%}
        {%- if is_published() and not is_by_commit -%}
            drop table if exists {{ changes_table() }};
        {%- endif %}
        insert into ops.model_runs values (
            '{{ this.identifier }}',
            {{ state.run }},
            {{ state.through }},
            {{ state.run if should_full_refresh() else state.rebuilt_in }},
            {{ state.replaced_in if is_by_commit else state.run }},
            '{{ state.code }}'
        )
    {%- endif -%}
{%- endmacro %}


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
    {%- elif config.get('materialized') != 'incremental' or not execute or not has_notes() -%}
        {{- return(false) -}}
    {%- endif -%}
    {{- return(model_state().is_stale) -}}
{% endmacro %}


{# Other engines than DuckDB, and commands that build nothing, have no such notes. #}
{% macro has_notes() %}
    {{- return(
        target.type == 'duckdb' and target.path != ':memory:' and flags.WHICH in run_commands()
    ) -}}
{% endmacro %}


{# For tests: the batches of the commits that a model reflects, as a subquery. #}
{% macro commits_seen_by(model_name) -%}
    (
        select batch_id from ops.commits
        where
            is_present
            and run <= (select commits_through from ops.models where model = '{{ model_name }}')
    )
{%- endmacro %}
