"""What the dbt-duckdb adapter calls: the lock, the build file's health, the start and end of a run.

Named in ``dbt_project/profiles.yml``, so it is there however dbt was started. Here belongs the
glue between dbt and the kernel; every decision is in ``lakehouse.publishing``.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.events.logging import AdapterLogger
from dbt_common.invocation import get_invocation_started_at

from lakehouse.dbt import green, run_notes
from lakehouse.dbt.build_file import prepare
from lakehouse.dbt.failures import keep_failures
from lakehouse.dbt.fingerprint import shared_code
from lakehouse.errors import LakeError
from lakehouse.locks import FileLock
from lakehouse.publishing.blockers import find_blockers
from lakehouse.publishing.publish import hold_back, publish
from lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    import duckdb
    from dbt.adapters.duckdb.credentials import DuckDBCredentials

_log = AdapterLogger("lakehouse")
_MANIFEST_ATTEMPTS = 50
_locks: dict[Path, FileLock] = {}
"""Held until the process ends: dbt closes and opens its connection between phases of one run."""

# On a full disk dbt cannot write its log file, and would print a stack for each line of it.
logging.raiseExceptions = False

_PUBLISHING_COMMANDS = frozenset({"build", "retry"})


class Plugin(BasePlugin):
    """One instance a dbt process."""

    _begun: green.Begun | None = None
    """None until a run has begun."""

    def update_connection_config(self, creds: "DuckDBCredentials", config: dict[str, Any]) -> None:
        """Queue for the build file, mend it if a crash broke it, and point dbt at it.

        The profile's path is only a name: where dbt was started must not decide which file it
        writes, and dbt-duckdb would take a relative path from the working directory.
        """
        if creds.path == ":memory:":
            return
        settings = _settings()
        settings.build_dir.mkdir(parents=True, exist_ok=True)
        if settings.build_lock not in _locks:
            lock = FileLock(settings.build_lock, purpose=_purpose())
            _locks[settings.build_lock] = lock.acquire(on_wait=_log.info)
            if problem := prepare(settings):
                _log.warning(problem)
            green.forget_lost_build(settings)
        creds.path = str(settings.build_file)
        config.setdefault("temp_directory", str(settings.build_dir / "spill"))
        config.setdefault("memory_limit", settings.memory_limit)

    def configure_connection(self, conn: "duckdb.DuckDBPyConnection") -> None:
        """Make the notes' tables and the functions that the hooks in ``macros/publish`` call."""
        if self.creds is not None and self.creds.path == ":memory:":
            return
        self._connection = conn
        run_notes.ensure_tables(conn)
        for name, function in (("lake_run_start", self._start), ("lake_run_end", self._end)):
            conn.create_function(
                name, _answering(function), ["VARCHAR"], "VARCHAR", side_effects=True
            )

    def configure_cursor(self, cursor: "duckdb.DuckDBPyConnection") -> None:
        """Tell the macros where raw is: a variable, because a profile cannot compute a path."""
        cursor.execute("set variable raw_dir = ?", [str(_settings().raw_dir)])

    def _start(self, request: dict[str, Any]) -> str:
        if request["empty"]:
            raise LakeError(
                "`--empty` and `--sample` would mark raw commits as read without reading them",
                "build without it; an empty raw layer builds as it is",
            )
        nodes = [run_notes.Node(**node) for node in request["nodes"]]
        sources = [(source, table) for source, table in request["sources"]]
        read = run_notes.sources_read(nodes, request["selected"])
        settings = _settings()
        readers = {node.alias: run_notes.direct_sources(node) for node in nodes}
        begun = green.begin_run(
            settings,
            started_at=get_invocation_started_at().replace(tzinfo=UTC),
            is_plain=_is_plain(),
            selected=request["selected"],
            tables=sources,
            read=read,
        )
        with self._connection.cursor() as cursor:
            run = run_notes.begin_run(cursor, shared_code(settings))
            fresh = run_notes.freeze_commits(
                cursor,
                settings.raw_dir,
                [table for table in sources if table[0] in read],
                run,
                is_full_refresh=request["full_refresh"],
            )
            if request["full_refresh"]:
                run_notes.forget_vanished_commits(cursor)
            else:
                run_notes.refuse_vanished_commits(cursor, readers)
            run_notes.record_lineage(cursor, nodes)
            run_notes.start_run(cursor, request["selected"])
        self._begun = begun
        return f"{fresh} new raw commits" if fresh else "no new raw commit"

    def _end(self, request: dict[str, Any]) -> str:
        if self._begun is None:
            return "nothing was built and nothing is published"
        with self._connection.cursor() as cursor:
            run_notes.finish_run(cursor, request["results"])
            settings = _settings()
            nodes = [run_notes.Node(**node) for node in request["nodes"]]
            keep_failures(
                cursor,
                settings,
                request["found"],
                results=request["results"],
                tests=[node.unique_id for node in nodes if node.resource_type == "test"],
            )
            if request["command"] not in _PUBLISHING_COMMANDS:
                return ""
            if not request["publish"]:
                return "not published: asked not to (publish: false)"
            unit_tests, results = _unit_tests(), request["results"]
            green.remember_unit_tests(settings, self._begun, results=results, unit_tests=unit_tests)
            blockers = find_blockers(cursor, nodes, unit_tests)
            if blockers:
                return hold_back(settings, blockers).message
            schemas = request["schemas"]
            outcome = publish(
                cursor,
                settings,
                schemas=schemas,
                tables=[(n.schema_name, n.alias) for n in nodes if n.schema_name in schemas],
                invocation_id=request["invocation_id"],
            )
            green.remember_build(
                settings, self._begun, results=results, nodes=[n.unique_id for n in nodes]
            )
            return outcome.message


def _answering(function: Callable[[dict[str, Any]], str]) -> Callable[[str], str]:
    """Wrap a step so that it answers JSON: an exception inside DuckDB loses its sentence."""

    def answer(request: str) -> str:
        try:
            return json.dumps({"message": function(json.loads(request)), "error": None})
        except LakeError as error:
            return json.dumps({"message": "", "error": str(error)})
        except Exception as error:
            sentence = f"the {function.__name__.strip('_')} of the run failed: {error}"
            hint = "readers keep the version they have; mend the cause, then run `lake build`"
            return json.dumps({"message": "", "error": str(LakeError(sentence, hint))})

    return answer


def _settings() -> Settings:
    from dbt.flags import get_flags

    project = getattr(get_flags(), "PROJECT_DIR", None)
    return load_settings(Path(project) if project else None)


def _purpose() -> str:
    from dbt.flags import get_flags

    by = os.environ.get("LAKE_INVOKED_BY", "a shell")
    return f"dbt {getattr(get_flags(), 'WHICH', 'command')} from {by}"


def _is_plain() -> bool:
    """Whether nothing but the project's files decides: no variable, target or profile is given."""
    from dbt.flags import get_flags

    flags = get_flags()
    profiles = Path(getattr(flags, "PROFILES_DIR", None) or ".") / "profiles.yml"
    given = [getattr(flags, name, None) for name in ("VARS", "TARGET", "PROFILE", "SAMPLE")]
    return not any(given) and profiles.resolve() == (_settings().dbt_dir / "profiles.yml").resolve()


def _unit_tests() -> list[str]:
    """The project's unit tests: the one kind of node that dbt does not show to a macro.

    The manifest may already be that of another dbt which waits for the lock. It describes the
    same project, which is all that is asked here.
    """
    from dbt.flags import get_flags

    flags = get_flags()
    target = Path(flags.PROJECT_DIR) / (getattr(flags, "TARGET_PATH", None) or "target")
    for _ in range(_MANIFEST_ATTEMPTS):
        try:
            manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
            return list(manifest["unit_tests"])
        except ValueError:
            time.sleep(0.2)  # the other dbt is writing it
        except (OSError, KeyError):
            break
    raise LakeError(
        f"{target / 'manifest.json'} cannot be read, so what is green cannot be told",
        "run dbt without --no-write-json",
    )
