{#
    Called at the end of every run, green or red: records what became of each node and, after
    `dbt build`, publishes when all is green. Renders to nothing, or to a statement that fails the
    run with a sentence.
#}
{% macro end_run(results) %}
    {%- if execute and flags.WHICH in run_commands() -%}
        {%- set statuses, found = {}, [] -%}
        {%- for result in results -%}
            {%- do statuses.update({result.node.unique_id: result.status | string}) -%}
            {%- if result.node.resource_type == 'test' and result.status in ('fail', 'warn') -%}
                {%- do found.append({
                    'unique_id': result.node.unique_id,
                    'status': result.status | string,
                    'failures': result.failures,
                    'sql': result.node.compiled_code,
                }) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set request = {
            'command': flags.WHICH,
            'results': statuses,
            'found': found,
            'nodes': project_nodes(),
            'invocation_id': invocation_id,
            'schemas': var('published_schemas'),
            'publish': var('publish', true),
        } -%}
        {{- call_kernel('lake_run_end', request) -}}
    {%- endif -%}
{% endmacro %}
