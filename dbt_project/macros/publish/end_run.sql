{#
    Called at the end of every run, green or red: records what became of each node and, after
    `dbt build`, publishes when all is green. Renders to nothing, or to a statement that fails the
    run with a sentence.
#}
{% macro end_run(results) %}
    {%- if execute and flags.WHICH in run_commands() -%}
        {%- set statuses = {} -%}
        {%- for result in results -%}
            {%- do statuses.update({result.node.unique_id: result.status | string}) -%}
        {%- endfor -%}
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
        {%- set request = {
            'command': flags.WHICH,
            'results': statuses,
            'nodes': nodes,
            'invocation_id': invocation_id,
            'schemas': var('published_schemas'),
            'publish': var('publish', true),
        } -%}
        {{- call_kernel('lake_run_end', request) -}}
    {%- endif -%}
{% endmacro %}
