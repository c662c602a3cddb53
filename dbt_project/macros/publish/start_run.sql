{#
    Called at the start of every run: freezes which raw commits the run reads, and records what it
    is about to build, so that a killed run counts as unfinished. Renders to nothing, or ends the
    run with a sentence.
#}
{% macro start_run() %}
    {%- if execute and flags.WHICH in run_commands() -%}
        {%- set sources = [] -%}
        {%- for source in graph.sources.values() -%}
            {%- do sources.append([source.source_name, source.name]) -%}
        {%- endfor -%}
        {%- set request = {
            'selected': selected_resources,
            'sources': sources,
            'nodes': project_nodes(),
            'empty': true if (flags.EMPTY or flags.SAMPLE) else false,
            'full_refresh': true if flags.FULL_REFRESH else false,
        } -%}
        {{- call_kernel('lake_run_start', request, at_start=true) -}}
    {%- endif -%}
{% endmacro %}


{# What is built or tested, with what each node reads. #}
{% macro project_nodes() %}
    {%- set nodes = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type in ['model', 'seed', 'snapshot', 'test']
        and node.config.materialized != 'ephemeral' -%}
        {%- do nodes.append({
            'unique_id': node.unique_id,
            'resource_type': node.resource_type,
            'schema_name': node.schema,
            'alias': node.alias,
            'parents': node.depends_on.nodes,
        }) -%}
    {%- endfor -%}
    {{- return(nodes) -}}
{% endmacro %}
