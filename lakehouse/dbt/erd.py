"""The published tables as a picture, from dbt's manifest: ``make erd`` writes ``docs/erd.md``.

Here belongs turning the manifest into Markdown with Mermaid. What it shows is declared elsewhere: a
table is published when its access is public, a key is an ``is_key`` test, an arrow a
``relationships`` test.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Manifest = Mapping[str, Any]
Node = Mapping[str, Any]

_HEAD = """# The published tables

Drawn from dbt's manifest by `make erd`. Each column is described in the warehouse itself (`lake sql
"select column_name, comment from duckdb_columns() where table_name = 'fct_sales'"`) and in dbt's
documentation (`make docs`).
"""


def render_erd(manifest: Manifest) -> str:
    """Markdown of all published tables: diagrams of the marts by source, the others as a list.

    Args:
        manifest: dbt's manifest.
    """
    published = [
        node
        for _, node in sorted(manifest["nodes"].items())
        if node["resource_type"] == "model" and node["access"] == "public"
    ]
    parts = [_HEAD]
    for schema, source in sorted({(node["schema"], node["fqn"][2]) for node in published}):
        nodes = [node for node in published if (node["schema"], node["fqn"][2]) == (schema, source)]
        has_types = all(c.get("data_type") for n in nodes for c in n["columns"].values())
        draw = _diagram(manifest, nodes) if has_types else _list(nodes)
        parts.append(f"\n## {schema}: {source}\n\n{draw}")
    return "".join(parts)


def _diagram(manifest: Manifest, nodes: Iterable[Node]) -> str:
    tests = [n for n in manifest["nodes"].values() if n.get("test_metadata")]
    lines, entities = [], []
    for node in nodes:
        attached = [t for t in tests if t["attached_node"] == node["unique_id"]]
        keys = sorted(_keys(attached), key=lambda key: list(node["columns"]).index(key[0]))
        links = {t["column_name"]: _target(t) for t in attached if _called(t) == "relationships"}
        lines += [f"    {to} ||--o{{ {node['name']} : {by}\n" for by, to in sorted(links.items())]
        columns = [
            f"        {_type(column['data_type'])} {name}{_marks(name, keys, links)}\n"
            for name, column in node["columns"].items()
        ]
        entities.append(f"    {node['name']} {{\n{''.join(columns)}    }}\n")
    return f"```mermaid\nerDiagram\n{''.join(lines)}{''.join(entities)}```\n"


def _list(nodes: Iterable[Node]) -> str:
    rows = []
    for node in nodes:
        text = " ".join(node["description"].split())
        grain = re.search(r"One row per ([^.]+)", text)
        rows.append(f"| `{node['name']}` | {grain[1] if grain else ''} |\n")
    return f"| table | one row per |\n| --- | --- |\n{''.join(rows)}"


def _type(data_type: str) -> str:
    """Mermaid takes no comma in a type."""
    return re.sub(r"\W.*", "", data_type)


def _marks(column: str, keys: Sequence[Sequence[str]], links: Mapping[str, str]) -> str:
    """The first key is the primary one, others are unique, too."""
    marks = ["UK" if i else "PK" for i, key in enumerate(keys) if column in key][:1]
    marks += ["FK"] if column in links else []
    return f" {', '.join(marks)}" if marks else ""


def _called(test: Node) -> str:
    return str(test["test_metadata"]["name"])


def _keys(tests: Iterable[Node]) -> list[list[str]]:
    return [t["test_metadata"]["kwargs"]["columns"] for t in tests if _called(t) == "is_key"]


def _target(test: Node) -> str:
    """The model that a ``relationships`` test names as ``ref('model')``."""
    return str(re.findall(r"\w+", test["test_metadata"]["kwargs"]["to"])[-1])


def main() -> None:
    """Print the page; the argument is the manifest's path."""
    manifest = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(render_erd(manifest))


if __name__ == "__main__":
    main()
