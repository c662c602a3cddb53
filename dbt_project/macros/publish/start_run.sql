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
        {%- set readers = [] -%}
        {%- for model in graph.nodes.values() if model.resource_type == 'model' and model.sources -%}
            {%- do readers.append(model.alias) -%}
        {%- endfor -%}
        {%- set request = {
            'selected': selected_resources,
            'sources': sources,
            'readers': readers,
            'empty': true if (flags.EMPTY or flags.SAMPLE) else false,
            'full_refresh': true if flags.FULL_REFRESH else false,
        } -%}
        {{- call_kernel('lake_run_start', request, at_start=true) -}}
    {%- endif -%}
{% endmacro %}
