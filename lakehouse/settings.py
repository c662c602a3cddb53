"""Where things are and which servers to use: one frozen value, read once at the edge.

Here belongs what a user can configure (environment, ``.env``) and the layout of the folders.
Here does not belong anything that opens, creates or checks what it names.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from lakehouse.errors import LakeError

DEFAULT_KEEP_VERSIONS = 10
DEFAULT_KEEP_VERSIONS_GB = 20
DEFAULT_MEMORY_LIMIT = "2GB"
_PROJECT_MARKER = Path("dbt_project") / "dbt_project.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The project's folders and servers.

    Attributes:
        root: The checkout; every other folder hangs below it.
        source_dsn: The PostgreSQL to extract from; None means the one that a layer contributes.
            Never shown: it may hold a password.
        kafka_bootstrap: ``host:port`` of the broker; None means the in-process one.
        keep_versions: How many published versions are kept, the current one included.
        keep_versions_gb: How much disk they may take together, in GB (1e9 bytes).
        memory_limit: What DuckDB may use for a build before it spills, in DuckDB's notation.
    """

    root: Path
    source_dsn: str | None = field(default=None, repr=False)
    kafka_bootstrap: str | None = None
    keep_versions: int = DEFAULT_KEEP_VERSIONS
    keep_versions_gb: int = DEFAULT_KEEP_VERSIONS_GB
    memory_limit: str = DEFAULT_MEMORY_LIMIT

    @property
    def data_dir(self) -> Path:
        """Everything that lands or runs here; ignored by git."""
        return self.root / "data"

    @property
    def raw_dir(self) -> Path:
        """The append-only raw layer."""
        return self.data_dir / "raw"

    @property
    def raw_locks_dir(self) -> Path:
        """Locks of those who write the raw layer, beside it wherever it really lies."""
        return self.raw_dir.resolve().with_name("raw.locks")

    @property
    def state_dir(self) -> Path:
        """Locks and caches: everything in it can be deleted while nothing runs."""
        return self.data_dir / "state"

    @property
    def postgres_dir(self) -> Path:
        """Data folder of the embedded PostgreSQL."""
        return self.data_dir / "postgres"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own storage; it never shares a file with the data."""
        return self.data_dir / "dagster"

    @property
    def warehouse_dir(self) -> Path:
        """Build file, published versions and the name that readers open."""
        return self.root / "warehouse"

    @property
    def build_dir(self) -> Path:
        """Folder of the build file and of what DuckDB spills."""
        return self.warehouse_dir / "build"

    @property
    def build_file(self) -> Path:
        """The private DuckDB file that only dbt opens."""
        return self.build_dir / "lakehouse.duckdb"

    @property
    def build_lock(self) -> Path:
        """The advisory lock on which everything that opens the build file queues."""
        return self.build_dir / "lakehouse.lock"

    @property
    def published_file(self) -> Path:
        """The DuckDB file that readers open, always read-only."""
        return self.warehouse_dir / "lakehouse.duckdb"

    @property
    def versions_dir(self) -> Path:
        """Every kept published version, immutable."""
        return self.warehouse_dir / "versions"

    @property
    def dbt_dir(self) -> Path:
        """The dbt project."""
        return self.root / "dbt_project"


def find_root(start: Path, environment: dict[str, str]) -> Path:
    """Find the checkout that a command is about.

    Args:
        start: Where the search begins, usually the working directory.
        environment: ``LAKE_ROOT`` in it wins over everything.

    Returns:
        ``LAKE_ROOT``; else the nearest folder at or above ``start`` that holds
        ``dbt_project/dbt_project.yml``; else the checkout this package was installed from.
    """
    if named := environment.get("LAKE_ROOT"):
        return Path(named).expanduser().resolve()
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / _PROJECT_MARKER).is_file():
            return folder
    return Path(__file__).resolve().parent.parent


def load_settings(start: Path | None = None) -> Settings:
    """Read the settings from the environment and from ``.env`` in the root.

    Args:
        start: Where the search for the root begins; the working directory if None.

    Raises:
        LakeError: A value cannot be used.
    """
    root = find_root(start or Path.cwd(), dict(os.environ))
    from_file = {k: v for k, v in dotenv_values(root / ".env").items() if v is not None}
    values = {**from_file, **os.environ}
    return Settings(
        root=root,
        source_dsn=values.get("LAKE_SOURCE_DSN") or None,
        kafka_bootstrap=values.get("LAKE_KAFKA_BOOTSTRAP") or None,
        keep_versions=_positive(values, "LAKE_KEEP_VERSIONS", DEFAULT_KEEP_VERSIONS),
        keep_versions_gb=_positive(values, "LAKE_KEEP_VERSIONS_GB", DEFAULT_KEEP_VERSIONS_GB),
        memory_limit=values.get("LAKE_MEMORY_LIMIT") or DEFAULT_MEMORY_LIMIT,
    )


def read_variable(settings: Settings, name: str) -> str | None:
    """A variable whose name the project's files choose, from the environment or else ``.env``.

    Args:
        settings: The project.
        name: The variable.
    """
    return os.environ.get(name) or dotenv_values(settings.root / ".env").get(name) or None


def _positive(values: dict[str, str], name: str, default: int) -> int:
    text = values.get(name, "").strip()
    if not text:
        return default
    if not text.isdigit() or int(text) < 1:
        raise LakeError(f"{name}={text!r} is not a whole number above 0", f"set {name} or unset it")
    return int(text)
