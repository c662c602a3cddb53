"""From dbt's manifest to Dagster's graph: which node is which asset, which test which check.

Every decision about keys, groups and checks is here, as functions of the manifest. Here does not
belong running anything.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator

Manifest = Mapping[str, Any]
Node = Mapping[str, Any]

_TABLE_KINDS = frozenset({"model", "seed", "snapshot"})


class LakeTranslator(DagsterDbtTranslator):
    """Names: a source is the raw asset it was landed as, a model is ``schema/name``."""

    def get_asset_key(self, dbt_resource_props: Node) -> dg.AssetKey:
        """The key: ``meta.dagster.asset_key`` if given, else by source and table or schema."""
        default = super().get_asset_key(dbt_resource_props)
        named = (dbt_resource_props.get("config", {}).get("meta") or {}).get("dagster", {})
        if dbt_resource_props["resource_type"] == "source" and "asset_key" not in named:
            return default.with_prefix("raw")
        return default

    def get_group_name(self, dbt_resource_props: Node) -> str | None:
        """The layer: ``meta.dagster.group`` if given, else the first folder below ``models``.

        dbt's own groups say who owns a model; they are its owners in Dagster.
        """
        named = (dbt_resource_props.get("config", {}).get("meta") or {}).get("dagster", {})
        return named.get("group") or _layer(dbt_resource_props)


@dataclass(frozen=True, slots=True)
class DbtGraph:
    """What Dagster knows of the dbt project.

    Attributes:
        manifest: As dbt wrote it.
        assets: Unique id of each model, seed and snapshot to its asset.
        checks: Unique id of each data test and unit test to its check.
        sources: Unique id of each source table to its key.
    """

    manifest: Manifest
    assets: Mapping[str, dg.AssetSpec]
    checks: Mapping[str, dg.AssetCheckSpec]
    sources: Mapping[str, dg.AssetKey]

    def node(self, unique_id: str) -> Node:
        """A model, test, source or unit test by its unique id."""
        return _node(self.manifest, unique_id)

    def keys_in_schemas(self, schemas: Sequence[str]) -> list[dg.AssetKey]:
        """The assets whose tables are in these schemas."""
        return [
            spec.key
            for unique_id, spec in self.assets.items()
            if self.node(unique_id)["schema"] in schemas
        ]


def build_graph(manifest: Manifest) -> DbtGraph:
    """Map every table to an asset and every test to a check.

    Args:
        manifest: dbt's manifest.

    Raises:
        ValueError: There are tests but no table.
    """
    translator = LakeTranslator()
    assets = {
        unique_id: translator.get_asset_spec(manifest, unique_id, None)
        for unique_id, node in manifest["nodes"].items()
        if _is_table(node)
    }
    sources = {
        unique_id: translator.get_asset_key(source)
        for unique_id, source in manifest["sources"].items()
    }
    keys = {unique_id: spec.key for unique_id, spec in assets.items()} | sources
    tests = {k: n for k, n in manifest["nodes"].items() if n["resource_type"] == "test"}
    tests |= manifest.get("unit_tests", {})
    placing = _Placing(manifest, keys, _depths(manifest))
    checks = {unique_id: placing.check(unique_id, test) for unique_id, test in tests.items()}
    return DbtGraph(manifest, assets, checks, sources)


def is_blocking(test: Node) -> bool:
    """Whether a failure stops what is downstream: everything but tests of severity ``warn``."""
    return str(test["config"].get("severity") or "error").lower() != "warn"


@dataclass(frozen=True, slots=True)
class _Placing:
    """Finds the asset that shows a test."""

    manifest: Manifest
    keys: Mapping[str, dg.AssetKey]
    depths: Mapping[str, int]

    def check(self, unique_id: str, test: Node) -> dg.AssetCheckSpec:
        shown_on = self.keys[self._shown_on(unique_id, test)]
        read = {self.keys[p] for p in test["depends_on"]["nodes"] if p in self.keys}
        kind = "unit test" if test["resource_type"] == "unit_test" else "test"
        return dg.AssetCheckSpec(
            name=test["name"],
            asset=shown_on,
            description=test.get("description") or f"dbt {kind} in {test['original_file_path']}",
            additional_deps=sorted(read - {shown_on}),
            blocking=is_blocking(test),
            metadata={"dbt_unique_id": unique_id},
        )

    def _shown_on(self, unique_id: str, test: Node) -> str:
        """The node named in the test's meta, the one dbt attached it to, or the most derived.

        A test of nothing but macros shows on the most derived table of all.
        """
        parents = list(test["depends_on"]["nodes"])
        named = (test["config"].get("meta") or {}).get("dagster", {}).get("ref", {}).get("name")
        named = named or test.get("model")  # a unit test says whose it is
        wanted = [p for p in parents if named and _node(self.manifest, p)["name"] == named]
        if test.get("attached_node"):
            wanted.append(test["attached_node"])
        for candidate in [*wanted, *self._most_derived(parents), *self._most_derived(self.keys)]:
            if asset := self._nearest_asset(candidate):
                return asset
        raise ValueError(f"there is no table that could show {unique_id}")

    def _most_derived(self, unique_ids: Iterable[str]) -> list[str]:
        return sorted(unique_ids, key=lambda unique_id: (-self.depths[unique_id], unique_id))

    def _nearest_asset(self, start: str) -> str | None:
        """The node itself or, as an ephemeral model has no table, the first one made from it."""
        queue, seen = deque([start]), {start}
        while queue:
            unique_id = queue.popleft()
            if unique_id in self.keys:
                return unique_id
            children = sorted(self.manifest["child_map"].get(unique_id, ()))
            queue.extend(child for child in children if child not in seen)
            seen.update(children)
        return None


def _depths(manifest: Manifest) -> dict[str, int]:
    """The longest way from a source to each node."""
    parents: Mapping[str, Sequence[str]] = manifest["parent_map"]
    order = TopologicalSorter(parents).static_order()
    depths: dict[str, int] = {}
    for unique_id in order:
        depths[unique_id] = 1 + max((depths[p] for p in parents.get(unique_id, ())), default=0)
    return depths


def _node(manifest: Manifest, unique_id: str) -> Node:
    for kind in ("nodes", "sources", "unit_tests"):
        if unique_id in manifest.get(kind, {}):
            node: Node = manifest[kind][unique_id]
            return node
    raise KeyError(unique_id)


def _is_table(node: Node) -> bool:
    return node["resource_type"] in _TABLE_KINDS and node["config"]["materialized"] != "ephemeral"


def _layer(node: Node) -> str | None:
    folders: list[str] = list(node["fqn"][1:-1])
    return folders[0] if folders else None
