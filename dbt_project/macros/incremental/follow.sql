{#
    What makes a model incremental by commits: it looks at the rows that its upstreams changed since
    it last looked, whatever their business time, and replaces all it says about their keys.

    Deleting the affected keys and appending what they have become is one transaction together with
    the ledger. dbt's own delete+insert deletes only keys that come back, so a key that has nothing
    to say any more (quarantined, deleted, no longer referenced) would stay for ever.
#}

{#
    First line of an incremental model: its configuration.

    upstreams: names of the models followed.
    key: the column by which rows are replaced.
    affected: name of the macro in `affected_*.sql` that selects the keys to look at.
    keeps_null_keys: true if the model holds rows without a key; they are replaced every time, so
        they can never multiply.
#}
{% macro follow(upstreams, key, affected, keeps_null_keys=false) -%}
    {%- set names = tojson(upstreams) -%}
    {{- config(
        pre_hook="{{ forget_affected('" ~ key ~ "', " ~ affected ~ "(" ~ names ~ "), "
            ~ keeps_null_keys ~ ") }}",
        post_hook="{{ mark_followed(" ~ names ~ ") }}",
    ) -}}
{%- endmacro %}


{# For pre_hook: deletes the rows that the model is about to write anew. #}
{% macro forget_affected(key, affected, keeps_null_keys=false) -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }} where {{ key }} in ({{ affected }})
        {{- ' or ' ~ key ~ ' is null' if keeps_null_keys }}
    {%- endif -%}
{%- endmacro %}


{#
    A condition, true for the keys an incremental run has to look at, and for all keys otherwise.

    key: the column.
    affected: the macro in `affected_*.sql` that selects the keys. It is called only where its
        answer counts, so that unit tests need not feed the logs it reads; while parsing it is
        called for the lineage.
    upstreams: names of the models followed.
#}
{% macro is_affected(key, affected, upstreams, keeps_null_keys=false) -%}
    {%- if not execute -%}
        {%- do affected(upstreams) -%}
        true
    {%- elif not is_incremental() -%}
        true
    {%- elif keeps_null_keys -%}
        ({{ key }} in ({{ affected(upstreams) }}) or {{ key }} is null)
    {%- else -%}
        {{ key }} in ({{ affected(upstreams) }})
    {%- endif -%}
{%- endmacro %}
