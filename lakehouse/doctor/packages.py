"""Checks of the environment: what is installed against what was locked and tested together."""

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from lakehouse.doctor.check import Finding, ok, problem, skipped, warning
from lakehouse.settings import Settings

_FIX = "run `make env` (it installs requirements.lock exactly)"
_DBT_BELOW = (1, 12)
_DBT_FROM = (1, 11)
_PAIRS = (("dagster-dbt", "dagster"), ("dagster-webserver", "dagster"), ("dbt-duckdb", "dbt-core"))
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)\s*(?:;\s*([^\\]+))?")
_SHOWN = 4
_LOCK = "requirements.lock"


@dataclass(frozen=True, slots=True)
class _Installed:
    version: str
    place: Path
    requires: tuple[str, ...]


def dbt_core(settings: Settings) -> Finding:
    """Exactly one dbt-core, of the line that dagster-dbt understands, and it is the one called."""
    found = _installed().get("dbt-core", [])
    if not found:
        return problem("dbt-core is not installed", _FIX)
    wrong = [one for one in found if not _DBT_FROM <= _numbers(one.version) < _DBT_BELOW]
    if wrong:
        beside = next((f" beside {one.version}" for one in found if one not in wrong), "")
        return problem(
            f"dbt-core {wrong[0].version} is installed{beside} in {wrong[0].place}; this project "
            "needs 1.11, because dagster-dbt takes 2.x for 1.x",
            _fix_for(wrong[0].place, "dbt-core"),
        )
    if len(found) > 1:
        return problem(
            f"dbt-core is installed {len(found)} times: "
            + ", ".join(f"{one.version} in {one.place}" for one in found),
            _fix_for(found[-1].place, "dbt-core"),
        )
    ours, called = Path(sys.executable).with_name("dbt"), shutil.which("dbt")
    if called and Path(called).resolve() != ours.resolve():
        return warning(
            f"{found[0].version}, but a shell's `dbt` is {called}",
            f"use `lake build`, or put {ours.parent} first in PATH",
        )
    return ok(found[0].version)


def locked(settings: Settings) -> Finding:
    """Every locked package is installed in its locked version."""
    places = (settings.root, Path(__file__).resolve().parents[2])
    lock = next((p / _LOCK for p in places if (p / _LOCK).is_file()), None)
    if lock is None:
        return skipped(f"there is no {_LOCK} in {settings.root}")
    installed = _installed()
    wrong, count = [], 0
    for name, version in _pins(lock.read_text(encoding="utf-8")):
        count += 1
        versions = [one.version for one in installed.get(name, [])]
        if version not in versions:
            wrong.append(f"{name} {versions[0] if versions else 'missing'} instead of {version}")
    if not wrong:
        return ok(f"{count} as locked")
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return problem(", ".join(wrong[:_SHOWN]) + more, _FIX)


def pairs(settings: Settings) -> Finding:
    """Packages that are released together are of the same release."""
    from packaging.requirements import Requirement

    installed = _installed()
    shown = []
    for name, partner in _PAIRS:
        if name not in installed or partner not in installed:
            continue
        one, other = installed[name][0], installed[partner][0]
        for text in one.requires:
            requirement = Requirement(text)
            if _canonical(requirement.name) == partner and not requirement.specifier.contains(
                other.version, prereleases=True
            ):
                return problem(
                    f"{name} {one.version} needs {partner}{requirement.specifier}, "
                    f"but {other.version} is installed",
                    _FIX,
                )
        shown.append(f"{name} {one.version} with {partner} {other.version}")
    return ok("; ".join(shown)) if shown else skipped("none of them is installed")


def _installed() -> dict[str, list[_Installed]]:
    """Every distribution on ``sys.path`` by name, the one that wins first.

    A folder that is on the path twice counts once.
    """
    found: dict[str, list[_Installed]] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if not name:
            continue  # leftovers of an interrupted removal have no metadata
        place = Path(str(distribution.locate_file("")))
        one = _Installed(distribution.version, place, tuple(distribution.requires or ()))
        others = found.setdefault(_canonical(name), [])
        if one not in others:
            others.append(one)
    return found


def _pins(text: str) -> Iterator[tuple[str, str]]:
    """The pins that apply to this interpreter and platform."""
    from packaging.markers import Marker

    for line in text.splitlines():
        pin = _PIN.match(line)
        if pin and (pin[3] is None or Marker(pin[3].strip()).evaluate()):
            yield _canonical(pin[1]), pin[2]


def _fix_for(place: Path, name: str) -> str:
    if place.is_relative_to(sys.prefix):
        return _FIX
    return f"take {place} off PYTHONPATH, or remove {name} from it"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
