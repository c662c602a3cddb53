"""What a database's catalogue says about its relations, in one look.

Here belongs reading the catalogue: names, kinds, keys, columns, indexes, triggers, foreign keys,
comments. Here does not belong what follows from them (``cursor``, ``propose``, ``scaffold``).
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ingest.postgres.connection import Connection
from ingest.postgres.types import literal
from ingest.sources import as_identifier

KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
_TABLES = ("r", "p")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogColumn:
    """A column as the catalogue has it.

    Attributes:
        name: Its name.
        pg_type: Its type with the modifier; of a domain, the type below it.
        not_null: Whether the catalogue forbids NULL.
        comment: What its owner wrote about it; None if nothing.
        named_by: Triggers before an update whose code names the column.
        stamped: Whether triggers set it to the database's clock at every insert and update,
            whatever the statement says.
        indexed: Whether an index begins with it.
    """

    name: str
    pg_type: str
    not_null: bool
    comment: str | None = None
    named_by: tuple[str, ...] = ()
    stamped: bool = False
    indexed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A validated reference to another table.

    Attributes:
        columns: The columns here.
        schema: Schema of the other table.
        table: The other table.
        references: The columns there.
    """

    columns: tuple[str, ...]
    schema: str
    table: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, view or the like.

    Attributes:
        schema: Its schema.
        name: Its name.
        kind: As in ``KINDS``.
        rows: The planner's idea of how many rows there are; None before the first ANALYZE.
        comment: What its owner wrote about it; None if nothing.
        readable: Whether this role may read it.
        filtered: Whether a row-level policy hides rows from this role.
        of_extension: Whether it belongs to an extension and not to the application.
        columns: Its columns in order.
        primary_key: Columns of the primary key; empty without one.
        unique_keys: Other unique keys without a NULL.
        foreign_keys: References to other tables.
    """

    schema: str
    name: str
    kind: str
    rows: int | None
    comment: str | None
    readable: bool
    filtered: bool
    of_extension: bool
    columns: tuple[CatalogColumn, ...]
    primary_key: tuple[str, ...]
    unique_keys: tuple[tuple[str, ...], ...]
    foreign_keys: tuple[ForeignKey, ...]

    @property
    def origin(self) -> str:
        """Schema and name as they are written in SQL."""
        return f"{as_identifier(self.schema)}.{as_identifier(self.name)}"

    @property
    def is_table(self) -> bool:
        """Whether rows are stored in it, and not computed or fetched."""
        return self.kind in _TABLES


def read_relations(connection: Connection, schemas: Collection[str] = ()) -> list[Relation]:
    """Read what there is, partitions through their parent only.

    Args:
        connection: To the database.
        schemas: Only these; else all but PostgreSQL's own.

    Raises:
        SourceError: The server refused.
    """
    chosen = (
        f"n.nspname in ({', '.join(map(literal, sorted(schemas)))})"
        if schemas
        else "n.nspname <> 'information_schema' and n.nspname !~ '^pg_'"
    )
    # One document a relation: text crosses the driver unchanged, whatever the names are.
    found = connection.rows(
        f"""
        with chosen as (
            select c.*, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where {chosen} and c.relkind in ('r', 'p', 'v', 'm', 'f')
                and not c.relispartition and c.relpersistence <> 't'
        )
        select jsonb_build_object(
            'schema', nspname, 'name', relname, 'kind', relkind,
            'rows', case when relkind in ('r', 'm', 'f') and reltuples >= 0
                then reltuples::bigint end,
            'comment', obj_description(oid, 'pg_class'),
            'readable', has_schema_privilege(relnamespace, 'USAGE')
                and has_table_privilege(oid, 'SELECT'),
            'filtered', row_security_active(oid),
            'of_extension', exists(
                select from pg_depend d
                where d.classid = 'pg_class'::regclass and d.objid = chosen.oid
                    and d.deptype = 'e'),
            'columns', {_COLUMNS},
            'triggers', {_TRIGGERS},
            'keys', {_KEYS},
            'foreign_keys', {_FOREIGN_KEYS}
        )::text as document
        from chosen order by nspname collate "C", relname collate "C"
        """
    )
    return [_relation(json.loads(row["document"])) for row in found]


# A domain is read as its base type, as the extractor does.
_COLUMNS = """(
    with recursive base as (
        select a.attnum, a.attname, a.attnotnull, a.atttypid as typid, a.atttypmod as typmod
        from pg_attribute a
        where a.attrelid = chosen.oid and a.attnum > 0 and not a.attisdropped
        union all
        select b.attnum, b.attname, b.attnotnull or t.typnotnull, t.typbasetype, t.typtypmod
        from base b join pg_type t on t.oid = b.typid and t.typtype = 'd'
    )
    select coalesce(jsonb_agg(jsonb_build_object(
        'name', b.attname, 'pg_type', format_type(b.typid, b.typmod), 'not_null', b.attnotnull,
        'comment', col_description(chosen.oid, b.attnum),
        'indexed', exists(
            select from pg_index i where i.indrelid = chosen.oid and i.indisvalid
                and i.indpred is null and i.indkey[0] = b.attnum)
        ) order by b.attnum), '[]')
    from base b join pg_type t on t.oid = b.typid and t.typtype <> 'd')"""

# Those before each row: bits 1 and 2; on insert: 4; on update: 16.
_TRIGGERS = """(
    select coalesce(jsonb_agg(jsonb_build_object(
        'name', g.tgname, 'code', p.prosrc, 'function', p.proname,
        'arguments', encode(g.tgargs, 'escape'),
        'on_insert', g.tgtype & 4 <> 0, 'on_update', g.tgtype & 16 <> 0,
        'always', g.tgqual is null and coalesce(array_length(g.tgattr::int2[], 1), 0) = 0
        ) order by g.tgname), '[]')
    from pg_trigger g join pg_proc p on p.oid = g.tgfoid
    where g.tgrelid = chosen.oid and not g.tgisinternal and g.tgenabled in ('O', 'A')
        and g.tgtype & 3 = 3)"""

_KEYS = """(
    select coalesce(jsonb_agg(k.key order by k.key ->> 'columns'), '[]') from (
        select jsonb_build_object('is_primary', i.indisprimary, 'columns', (
            select jsonb_agg(a.attname order by p.place)
            from unnest(i.indkey::int2[]) with ordinality as p(attnum, place)
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = p.attnum
            where p.place <= i.indnkeyatts)) as key
        from pg_index i
        where i.indrelid = chosen.oid and i.indisunique and i.indisvalid and i.indpred is null
            and i.indexprs is null and not exists(
                select from unnest(i.indkey::int2[]) with ordinality as p(attnum, place)
                join pg_attribute a on a.attrelid = i.indrelid and a.attnum = p.attnum
                where p.place <= i.indnkeyatts and not a.attnotnull)
    ) as k)"""

_FOREIGN_KEYS = """(
    select coalesce(jsonb_agg(jsonb_build_object(
        'columns', (
            select jsonb_agg(a.attname order by p.place)
            from unnest(f.conkey) with ordinality as p(attnum, place)
            join pg_attribute a on a.attrelid = f.conrelid and a.attnum = p.attnum),
        'schema', rn.nspname, 'table', r.relname,
        'references', (
            select jsonb_agg(a.attname order by p.place)
            from unnest(f.confkey) with ordinality as p(attnum, place)
            join pg_attribute a on a.attrelid = f.confrelid and a.attnum = p.attnum)
        ) order by f.conname), '[]')
    from pg_constraint f
    join pg_class r on r.oid = f.confrelid join pg_namespace rn on rn.oid = r.relnamespace
    where f.conrelid = chosen.oid and f.contype = 'f' and f.convalidated
        and f.conparentid = 0)"""


def _relation(document: dict[str, Any]) -> Relation:
    keys = [(key["is_primary"], tuple(key["columns"])) for key in document["keys"]]
    return Relation(
        schema=document["schema"],
        name=document["name"],
        kind=document["kind"],
        rows=document["rows"],
        comment=document["comment"],
        readable=document["readable"],
        filtered=document["filtered"],
        of_extension=document["of_extension"],
        columns=tuple(
            CatalogColumn(
                name=column["name"],
                pg_type=column["pg_type"],
                not_null=column["not_null"],
                comment=column["comment"],
                named_by=tuple(
                    trigger["name"]
                    for trigger in document["triggers"]
                    if trigger["on_update"] and _names_column(trigger, column["name"])
                ),
                stamped=_is_stamped(document["triggers"], column["name"]),
                indexed=column["indexed"],
            )
            for column in document["columns"]
        ),
        primary_key=next((columns for is_primary, columns in keys if is_primary), ()),
        unique_keys=tuple(columns for is_primary, columns in keys if not is_primary),
        foreign_keys=tuple(
            ForeignKey(
                columns=tuple(key["columns"]),
                schema=key["schema"],
                table=key["table"],
                references=tuple(key["references"]),
            )
            for key in document["foreign_keys"]
        ),
    )


_NOW = (
    r"(?:now\s*\(\s*\)|current_timestamp|(?:clock|transaction|statement)_timestamp\s*\(\s*\))\s*;"
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", flags=re.DOTALL)
_CONDITION = re.compile(r"\b(if|case|when|exception|loop|execute)\b", flags=re.IGNORECASE)


def _names_column(trigger: dict[str, Any], column: str) -> bool:
    return column.lower() in f"{trigger['code']} {trigger['arguments']}".lower()


def _is_stamped(triggers: list[dict[str, Any]], column: str) -> bool:
    """Whether one trigger or more set a column to the clock at every insert and every update."""
    sure = [one for one in triggers if one["always"] and _sets_clock(one, column)]
    return any(one["on_insert"] for one in sure) and any(one["on_update"] for one in sure)


def _sets_clock(trigger: dict[str, Any], column: str) -> bool:
    """Whether a trigger's code does nothing about a column but to set it to the clock.

    What it cannot be sure of it denies: a condition anywhere in the code is enough.
    """
    code = _COMMENT.sub(" ", trigger["code"])
    quoted = re.escape('"' + column.replace('"', '""') + '"')
    bare = rf"|{re.escape(column)}" if as_identifier(column) == column else ""
    assigned = rf"\bnew\s*\.\s*(?:{quoted}{bare})\s*:?=\s*"
    everywhere = re.findall(assigned, code, flags=re.IGNORECASE)
    to_clock = re.findall(assigned + _NOW, code, flags=re.IGNORECASE)
    return bool(to_clock) and len(to_clock) == len(everywhere) and not _CONDITION.search(code)
