"""The tables and views of a DuckDB file, each described as the table it is in a version.

Here belongs reading the catalog and writing it down as SQL. Here does not belong copying or
comparing rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from lakehouse.errors import LakeError

if TYPE_CHECKING:
    import duckdb

Name = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it must be in a version; two that are equal differ at most in their rows.

    Attributes:
        schema: Its schema.
        name: Its name.
        parts: Columns and constraints as they stand in ``create table``.
        comments: ``comment on`` statements for it and its columns.
        references: Tables of its schema that its foreign keys point at.
    """

    schema: str
    name: str
    parts: tuple[str, ...]
    comments: tuple[str, ...]
    references: frozenset[str]

    @property
    def quoted(self) -> str:
        """Schema and name as SQL."""
        return _dotted(self.schema, self.name)

    @property
    def ddl(self) -> str:
        """Its ``create table`` without the database."""
        return f"create table {self.quoted} ({', '.join(self.parts)})"


def find_relations(
    connection: "duckdb.DuckDBPyConnection", database: str, names: Sequence[Name] | None = None
) -> list[Relation]:
    """Look up tables and views, in a fixed order in which each comes after what it points at.

    Args:
        connection: A connection that has the database attached.
        database: Its name.
        names: Those to look up, if they exist; None means every one outside the schema ``lake``.

    Raises:
        LakeError: A view cannot be read.
    """
    wanted = None if names is None else set(names)
    found = [
        (schema, name, is_view, comment)
        for schema, name, is_view, comment in connection.execute(
            "select schema_name, table_name, false, comment from duckdb_tables()"
            " where database_name = $1 and not temporary union all"
            " select schema_name, view_name, true, comment from duckdb_views()"
            " where database_name = $1 and not temporary and not internal order by all",
            [database],
        ).fetchall()
        if (schema != "lake" if wanted is None else (schema, name) in wanted)
    ]
    columns = _columns(connection, database)
    constraints = _constraints(connection, database)
    relations = []
    for schema, name, is_view, comment in found:
        of_table = columns.get((schema, name), [])
        parts = (
            _columns_of_view(connection, database, (schema, name))
            if is_view
            else {column: definition for column, definition, _ in of_table}
        )
        comments = [_comment("table", _dotted(schema, name), comment)] if comment else []
        comments += [
            _comment("column", _dotted(schema, name, column), text)
            for column, _, text in of_table
            if text is not None and column in parts
        ]
        keys, references = constraints.get((schema, name), ([], set()))
        relations.append(
            Relation(schema, name, (*parts.values(), *keys), tuple(comments), frozenset(references))
        )
    return _after_what_they_reference(relations)


@contextmanager
def blaming(schema: str, name: str) -> Iterator[None]:
    """Let a failure inside the block name this table or view.

    Raises:
        LakeError: DuckDB failed.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        cause = str(error).splitlines()[0]
        raise LakeError(
            f"{schema}.{name} cannot be copied into a version ({cause}), so nothing is published",
            "mend the cause, then run `lake build`",
        ) from error


def identifier(name: str) -> str:
    """A name as SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def literal(text: object) -> str:
    """A text as SQL, for statements that take no parameters."""
    escaped = str(text).replace("'", "''")
    return f"'{escaped}'"


def _columns(
    connection: "duckdb.DuckDBPyConnection", database: str
) -> dict[Name, list[tuple[str, str, str | None]]]:
    """Name, definition and comment of each column."""
    found: dict[Name, list[tuple[str, str, str | None]]] = {}
    for schema, table, column, data_type, is_nullable, default, comment in connection.execute(
        "select schema_name, table_name, column_name, data_type, is_nullable, column_default,"
        " comment from duckdb_columns() where database_name = ? order by column_index",
        [database],
    ).fetchall():
        definition = f"{identifier(column)} {data_type}"
        definition += "" if is_nullable else " not null"
        definition += f" default {default}" if default is not None else ""
        found.setdefault((schema, table), []).append((column, definition, comment))
    return found


def _columns_of_view(
    connection: "duckdb.DuckDBPyConnection", database: str, view: Name
) -> dict[str, str]:
    """Name and definition of each column, as the view gives them now.

    ``duckdb_columns()`` tells what they were when this session made the view; what it reads may
    have been built anew since.
    """
    with blaming(*view):
        described = connection.execute(f"describe {_dotted(database, *view)}").fetchall()
    return {row[0]: f"{identifier(row[0])} {row[1]}" for row in described}


def _constraints(
    connection: "duckdb.DuckDBPyConnection", database: str
) -> dict[Name, tuple[list[str], set[str]]]:
    """The constraints of each table, and the tables that its foreign keys point at."""
    found: dict[Name, tuple[list[str], set[str]]] = {}
    for schema, table, text, referenced in connection.execute(
        "select schema_name, table_name, constraint_text, referenced_table"
        " from duckdb_constraints()"
        " where database_name = ? and constraint_type <> 'NOT NULL' order by all",
        [database],
    ).fetchall():
        texts, references = found.setdefault((schema, table), ([], set()))
        texts.append(text)
        if referenced is not None:
            references.add(referenced)  # DuckDB's foreign keys stay within one schema
    return found


def _after_what_they_reference(relations: Sequence[Relation]) -> list[Relation]:
    by_name = {(r.schema, r.name): r for r in relations}
    graph = TopologicalSorter(
        {
            (r.schema, r.name): sorted((r.schema, other) for other in r.references - {r.name})
            for r in relations
        }
    )
    return [by_name[name] for name in graph.static_order() if name in by_name]


def _comment(kind: str, target: str, text: str) -> str:
    return f"comment on {kind} {target} is {literal(text)}"


def _dotted(*names: str) -> str:
    return ".".join(map(identifier, names))
