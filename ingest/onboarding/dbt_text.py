"""What the dbt files of a table hold: its source, its base, staging and quarantine models, tests.

They have the shape of the project's own (``dbt_project/models/staging/shop``), for a person to read
and to change. Nothing in them decides about data beyond what the catalogue says.

Here belongs text, as functions of a table. Here does not belong a file or a database.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent, wrap

from ingest.onboarding.listing import scalar

_WIDTH = 98
_PROSE_WIDTH = 88
_LARGE = 1_000_000
_GROUPS = ("ids", "strings", "numerics", "booleans", "dates", "timestamps", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnText:
    """A column of a table.

    Attributes:
        name: Its plain name.
        raw_name: Its name in PostgreSQL and in raw files.
        data_type: How dbt reads it.
        pg_type: Its type in PostgreSQL.
        comment: What its owner wrote about it; None if nothing.
        not_null: Whether the source forbids NULL.
        references: Model and column that it refers to; None if to none.
    """

    name: str
    raw_name: str
    data_type: str
    pg_type: str
    comment: str | None
    not_null: bool
    references: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableText:
    """A table.

    Attributes:
        source: Its source.
        name: Its plain name.
        origin: Schema and name as in PostgreSQL's SQL.
        comment: What its owner wrote about it; None if nothing.
        primary_key: Plain names of the columns that identify a row.
        changed_at: Plain name of the cursor; None without one.
        columns: Its columns.
        rows: About how many rows there are; None if unknown.
    """

    source: str
    name: str
    origin: str
    comment: str | None
    primary_key: tuple[str, ...]
    changed_at: str | None
    columns: tuple[ColumnText, ...]
    rows: int | None

    @property
    def base(self) -> str:
        """Its base model."""
        return f"base_{self.source}__{self.name}"

    @property
    def staging(self) -> str:
        """Its staging model."""
        return f"stg_{self.source}__{self.name}"

    @property
    def quarantine(self) -> str:
        """Its quarantine model."""
        return f"quarantine_{self.source}__{self.name}"


def sources_head(source: str) -> str:
    """The file that declares a source, without a table."""
    text = (
        f"Database of {source}, landed as raw commits (`data/raw/{source}`). Column types are"
        " declared here: raw files are read with exactly these, also when there is none yet."
    )
    head = f"version: 2\n\nsources:\n  - name: {scalar(source)}\n"
    return f"{head}{_prose(text, 4)}\n    tables: []\n"


def models_head() -> str:
    """A file that describes models, without one."""
    return "version: 2\n\nmodels: []\n"


def source_item(table: TableText) -> str:
    """The table among those of its source."""
    said = _words(table.comment, ". ") + (
        f"Rows of `{table.origin}`. One row per landed version of a row, or per tombstone."
    )
    lines = [
        f"name: {scalar(table.name)}",
        _prose(escaped(said)),
        "config:",
        "  meta:",
        f"    primary_key: {scalar(list(table.primary_key))}",
        *([f"    changed_at: {scalar(table.changed_at)}"] if table.changed_at else []),
        "columns:",
        *(indent(_column(column), "  ") for column in table.columns),
    ]
    return "\n".join(lines)


def base_item(table: TableText) -> str:
    """The base model's description."""
    said = (
        f"Every version of the rows of `{table.origin}` as landed, nothing dropped or merged. One"
        " row per row of a raw commit."
    )
    test = scalar({"source_name": table.source, "table_name": table.name})
    return "\n".join(
        [
            f"name: {table.base}",
            _prose(escaped(said)),
            "data_tests:",
            f"  - {{base_holds_all_commits: {{arguments: {test}}}}}",
        ]
    )


def staging_item(table: TableText) -> str:
    """The staging model's description, with what the catalogue promises as tests."""
    said = (
        f"The current version of each row of `{table.origin}`, deleted ones flagged, with the rules"
        " that it breaks. One row per key, or per distinct content if it has no key."
    )
    lines = [
        f"name: {table.staging}",
        _prose(escaped(said)),
        "data_tests:",
        "  - {is_key: {arguments: {columns: [_record_key]}}}",
    ]
    tested = [(column, tests) for column in table.columns if (tests := _tests(table, column))]
    if tested:
        lines.append("columns:")
    for column, tests in tested:
        lines += [f"  - name: {scalar(column.name)}", "    data_tests:", *tests]
    return "\n".join(lines)


def quarantine_item(table: TableText) -> str:
    """The quarantine model's description."""
    said = (
        f"Rows of `{table.origin}` whose current version breaks a rule, with all reasons. They"
        " leave by themselves when the source is mended; open work is `where not is_deleted`. One"
        " row per key, or per distinct content if it has no key."
    )
    columns = (
        "_record_key broken_rules rule_version is_deleted deleted_at first_seen_at last_seen_at"
        " _extracted_at _batch_id _unrepresentable"
    )
    return "\n".join(
        [
            f"name: {table.quarantine}",
            _prose(escaped(said)),
            f"config: {{meta: {{columns_of: '{table.source}.{table.name}'}}}}",
            "columns:",
            *(
                f"  - {{name: {name}, description: '{{{{ doc(\"column_{name}\") }}}}'}}"
                for name in columns.split(" ")
            ),
        ]
    )


def accounting_item(source: str) -> str:
    """The description of the model that counts where each landed row is."""
    said = (
        f"The tables of {source}, with where each landed row is: raw = clean + quarantined +"
        " repeated. One row per table."
    )
    return "\n".join(
        [
            f"name: accounting_{source}",
            _prose(said),
            "data_tests:",
            "  - {is_key: {arguments: {columns: [source_name, table_name]}}}",
            "columns:",
            "  - {name: source_name, description: Name of the source.}",
            "  - {name: table_name, description: Name of its table.}",
            "  - name: raw_rows",
            "    description: Rows landed in raw commits, repeats and tombstones included.",
            "  - name: clean_rows",
            "    description: Current rows that break no rule, deleted ones included.",
            "  - {name: quarantined_rows, description: Current rows that break a rule.}",
            "  - name: repeated_rows",
            "    description: Landed rows that another one of the same key replaced or repeated.",
        ]
    )


def base_sql(table: TableText) -> str:
    """The base model."""
    commits = _call("select * from ", "new_commits", table, "")
    return f"with\n\nlanded as (\n\n    {commits}\n\n)\n\nselect * from landed\n"


def staging_sql(table: TableText) -> str:
    """The staging model; incremental where the table is large."""
    base = _ref("select * from ", table.base)
    head = where = ""
    if (table.rows or 0) >= _LARGE:
        head = (
            "{{ config(materialized='incremental', unique_key='_record_key') }}\n\n"
            "{% call affected_keys() %}\n"
            f"    {_ref('select _record_key from ', table.base)}\n"
            "    where {{ is_new_commit() }}\n"
            "{% endcall %}\n\n"
        )
        where = "\n    where {{ is_affected('_record_key') }}"
    groups = _grouped(table)
    columns = "".join(
        f"        -- {group}\n" + "".join(f"        {name},\n" for name in names) + "\n"
        for group, names in groups
    )
    rules = _call("", "broken_rules", table, " as broken_rules", depth=8)
    return (
        f"{head}with\n\n"
        f"versions as (\n\n    {base}{where}\n\n),\n\n"
        "current_versions as (\n\n    select * from {{ current_version() }}\n\n),\n\n"
        f"renamed as (\n\n    select\n{columns}"
        f"        -- rules\n        {rules},\n        _unrepresentable,\n\n"
        "        -- lineage\n        is_deleted,\n        deleted_at,\n        first_seen_at,\n"
        "        last_seen_at,\n        _record_key,\n        _extracted_at,\n        _batch_id\n"
        "    from current_versions\n\n)\n\nselect * from renamed\n"
    )


def quarantine_sql(table: TableText) -> str:
    """The quarantine model."""
    version = _call("", "rule_version", table, " as rule_version", depth=8)
    return (
        "-- Passes on all columns, whatever there are.\n"
        "-- noqa: disable=AM04\n"
        "with\n\n"
        f"staged as (\n\n    {_ref('select * from ', table.staging)}\n"
        "    where broken_rules <> ''\n\n),\n\n"
        f"quarantined as (\n\n    select\n        staged.*,\n        {version}\n"
        "    from staged\n\n)\n\n"
        "select * from quarantined\n"
    )


def accounting_sql(source: str) -> str:
    """The model that counts where each landed row of a source is, without a table."""
    return _ACCOUNTING.replace("SOURCE", source)


def with_accounted(text: str, tables: Sequence[TableText]) -> str | None:
    """That model with tables added to those it counts.

    Args:
        text: The model.
        tables: The tables that it shall count.

    Returns:
        The model; None if the list of its tables is not found.
    """
    found = re.search(r"(\{%-? set tables = \{\r?\n)(.*?)(\} ?-?%\})", text, flags=re.DOTALL)
    if found is None:
        return None
    lines = "".join(
        f"    '{table.name}': '{table.staging}',\n"
        for table in tables
        if not re.search(rf"^\s*'{table.name}':", found[2], flags=re.MULTILINE)
    )
    listed = found[2]
    if lines and listed.strip() and not listed.rstrip().endswith(","):
        listed = f"{listed.rstrip()},\n"
    return f"{text[: found.start()]}{found[1]}{listed}{lines}{found[3]}{text[found.end() :]}"


def accounting_test(source: str) -> str:
    """The test that no landed row of a source is lost or counted twice."""
    return (
        "-- A failing row is a table of which landed rows are lost or counted twice:\n"
        "-- raw = clean + quarantined + repeated.\n"
        f"select * from {{{{ ref('accounting_{source}') }}}}\n"
        "where raw_rows <> clean_rows + quarantined_rows + repeated_rows\n"
    )


def escaped(text: str) -> str:
    """A text in which dbt finds no expression: the catalogue's words are shown and never run."""
    return re.sub(r"\{(?=[{%#])", '{{ "{" }}', text)


def _column(column: ColumnText) -> str:
    """A column of the source as an item: in one line if it fits."""
    said = _words(column.comment, ".")
    if not said:
        said = f"{column.pg_type} at the source."
    elif column.data_type == "varchar" and column.pg_type not in ("text", "character varying"):
        said = f"{said} As text; in PostgreSQL {column.pg_type}."
    fields = [
        f"name: {scalar(column.name)}",
        f"data_type: {scalar([column.data_type])[1:-1]}",
        f"description: {scalar([escaped(said)])[1:-1]}",
    ]
    raw_name = scalar([escaped(column.raw_name)])[1:-1]
    if column.raw_name != column.name:
        fields.append(f"config: {{meta: {{raw_name: {raw_name}}}}}")
    one_line = f"- {{{', '.join(fields)}}}"
    if len(one_line) <= _WIDTH:
        return one_line
    if len(said) > _PROSE_WIDTH:
        fields[2] = _prose(escaped(said))
    return "- " + indent("\n".join(fields), "  ").lstrip()


def _tests(table: TableText, column: ColumnText) -> list[str]:
    lines = []
    if column.not_null and column.name not in table.primary_key:
        lines.append("      - {not_null: {config: {where: \"broken_rules = ''\"}}}")
    if column.references:
        model, field = column.references
        lines += [
            "      - relationships:",
            f"          arguments: {{to: ref('{model}'), field: {scalar(field)}}}",
            "          config: {where: \"broken_rules = '' and not is_deleted\"}",
        ]
    return lines


def _grouped(table: TableText) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {group: [] for group in _GROUPS}
    for column in table.columns:
        groups[_group(table, column)].append(column.name)
    return [(group, names) for group, names in groups.items() if names]


def _group(table: TableText, column: ColumnText) -> str:
    if column.name in table.primary_key or column.references or column.name.endswith("_id"):
        return "ids"
    kinds = {
        "varchar": "strings",
        "boolean": "booleans",
        "date": "dates",
        "timestamp": "timestamps",
        "timestamptz": "timestamps",
        "blob": "bytes",
    }
    return kinds.get(column.data_type, "numerics")


def _call(before: str, macro: str, table: TableText, after: str, depth: int = 4) -> str:
    """A call of a macro with source and table."""
    return _wrapped(before, macro, [table.source, table.name], after, depth)


def _ref(before: str, model: str) -> str:
    return _wrapped(before, "ref", [model], "", 4)


def _wrapped(before: str, macro: str, arguments: Sequence[str], after: str, depth: int) -> str:
    """A call in one line, or in several if that is too long."""
    quoted = [f"'{argument}'" for argument in arguments]
    one_line = f"{before}{{{{ {macro}({', '.join(quoted)}) }}}}{after}"
    if len(one_line) + depth < _WIDTH:
        return one_line
    space = " " * depth
    lines = f",\n{space}    ".join(quoted)
    return f"{before}{{{{ {macro}(\n{space}    {lines}\n{space}) }}}}{after}"


def _prose(text: str, depth: int = 0) -> str:
    """A description as a folded text."""
    lines = wrap(text, _PROSE_WIDTH, break_long_words=False, break_on_hyphens=False)
    return indent("\n".join(["description: >", *(f"  {line}" for line in lines)]), " " * depth)


def _words(comment: str | None, end: str) -> str:
    """A comment as one line of printable text that ends like a sentence; empty if there is none."""
    text = " ".join("".join(c if c.isprintable() else " " for c in comment or "").split())
    return f"{text.rstrip('.')}{end}" if text else ""


_ACCOUNTING = """\
{{ config(materialized='table') }}

{#- Of each table of SOURCE: the model whose broken_rules decide what is clean. -#}
{%- set tables = {
} %}

{{ accounting('SOURCE', tables) }}
"""
