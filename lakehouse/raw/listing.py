"""Which commits a raw table holds and in which file each stands, found by names alone.

A folder of names says it all, except which commits are in a compacted file; that is in its footer.
What was found in a day's folder is kept beside the raw layer, so that a table of a hundred thousand
commits costs one look at each of its days. The copy holds for a day as long as the folder's inode,
size and times are what they were, and only if nothing had changed there for a while when it was
read: a change in the same tick of the clock would leave no trace. It can be deleted at any time.

Here belongs listing. Here does not belong what commits say (``commits``). Imports nothing heavy: an
idle ``lake build`` asks here.
"""

import hashlib
import json
import os
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from lakehouse.raw.compacted import read_compaction
from lakehouse.raw.errors import RawFileError
from lakehouse.raw.names import DAY_PREFIX, SUFFIX, TEMPORARY_SUFFIX, is_compacted

_FORMAT = 1
_SETTLED_NS = 2_000_000_000
"""File systems keep times to 2 s at worst: an older change has another time than any later one."""

_Stamp = list[int]


@dataclass(frozen=True)
class Day:
    """What lies in the folder of one day.

    Attributes:
        name: The folder's name.
        digest: Identifies the day's commits, wherever they stand; empty if there are none.
        places: Identifies the commits and the file that each is read from; empty likewise.
        has_temporaries: Whether a writer is at work or has died there.
        line: The names, as they are kept: read when somebody asks.
    """

    name: str
    digest: str
    places: str
    has_temporaries: bool
    line: bytes

    @classmethod
    def of(
        cls,
        name: str,
        files: Sequence[str],
        compacted: Mapping[str, Iterable[str]],
        *,
        has_temporaries: bool = False,
    ) -> "Day":
        """Describe a folder.

        Args:
            name: The folder's name.
            files: Ids of the commits that have a file of their own.
            compacted: Names of the files of several commits with the ids in each.
            has_temporaries: Whether a writer is at work or has died there.
        """
        body = {
            "files": " ".join(sorted(files)),
            "compacted": {
                stem: " ".join(sorted(compacted[stem])) for stem in sorted(compacted, reverse=True)
            },
        }
        line = json.dumps(body).encode()
        bare = cls(name, "", "", has_temporaries, line)
        if not bare.batch_ids:
            return bare
        places = (f"{batch_id} {stem}" for batch_id, stem in sorted(bare.stems.items()))
        digests = _digest([name, *bare.batch_ids]), _digest([name, *places])
        return cls(name, *digests, has_temporaries, line)

    def __hash__(self) -> int:
        return hash((self.name, self.digest, self.places))

    @cached_property
    def _body(self) -> tuple[list[str], dict[str, list[str]]]:
        fields = json.loads(self.line)
        compacted = {stem: ids.split() for stem, ids in fields["compacted"].items()}
        return fields["files"].split(), compacted

    @property
    def files(self) -> list[str]:
        """Ids of the commits that have a file of their own, sorted."""
        return self._body[0]

    @property
    def compacted(self) -> dict[str, list[str]]:
        """The files of several commits, the newest first, each with the ids of its commits."""
        return self._body[1]

    @cached_property
    def stems(self) -> dict[str, str]:
        """Each commit's id to the name, without suffix, of the file that speaks for it.

        The newest file of several commits that holds it; else its own.
        """
        found = dict(zip(self.files, self.files, strict=True))
        for stem in reversed(self.compacted):
            found.update(dict.fromkeys(self.compacted[stem], stem))
        return found

    @cached_property
    def batch_ids(self) -> list[str]:
        """The ids of the day's commits, sorted."""
        if self.compacted and (self.files or len(self.compacted) > 1):
            return sorted(self.stems)
        return next(iter(self.compacted.values()), self.files)


@dataclass(frozen=True)
class Listing:
    """A table's commits at one moment.

    Attributes:
        directory: The table's folder.
        days: Its days in order.
    """

    directory: Path
    days: tuple[Day, ...]

    @cached_property
    def digest(self) -> str:
        """Identifies the commits, wherever they stand: 16 hexadecimal digits."""
        return _digest(day.digest for day in self.days if day.digest)

    @cached_property
    def places(self) -> str:
        """Identifies the commits and the file that each is read from: 16 hexadecimal digits."""
        return _digest(day.places for day in self.days if day.places)

    @cached_property
    def batch_ids(self) -> tuple[str, ...]:
        """All commits in batch order."""
        found = [batch_id for day in self.days for batch_id in day.batch_ids]
        return tuple(sorted(found))

    @cached_property
    def stems(self) -> dict[str, str]:
        """Each commit's id to the name, without suffix, of the file that speaks for it."""
        found: dict[str, str] = {}
        for day in self.days:
            found |= day.stems
        return found

    def path_of(self, day: Day, stem: str) -> Path:
        """The path of a data file."""
        return self.directory / day.name / f"{stem}{SUFFIX}"


def listing_cache(raw_dir: Path, source: str, table: str) -> Path:
    """Where the listing of a table is kept, beside the raw layer: nothing idle changes that."""
    return raw_dir.parent / "state" / "raw" / source / f"{table}.listing"


def list_commits(directory: Path, cache: Path | None) -> Listing:
    """List a table's commits.

    Args:
        directory: The table's folder; it need not exist.
        cache: ``listing_cache``; None lists everything anew and keeps nothing.

    Raises:
        RawFileError: The footer of a compacted file cannot be read.
    """
    known = _load(cache) if cache else {}
    days: list[Day] = []
    kept: dict[str, tuple[_Stamp, Day]] = {}
    for entry in sorted(_entries(directory), key=lambda entry: entry.name):
        if not entry.name.startswith(DAY_PREFIX):
            continue
        stamp, settled = _stamp(entry)
        found = known.get(entry.name)
        if found is None or found[0] != stamp:
            found = (stamp, _scan(entry))
        if settled:
            kept[entry.name] = found
        days.append(found[1])
    if cache and {name: stamp for name, (stamp, _) in kept.items()} != {
        name: stamp for name, (stamp, _) in known.items()
    }:
        _store(cache, kept)
    return _listing(directory, tuple(days))


@lru_cache(maxsize=16)
def _listing(directory: Path, days: tuple[Day, ...]) -> Listing:
    """The same object for the same days: what it has worked out need not be worked out again."""
    return Listing(directory, days)


def _scan(entry: "os.DirEntry[str]") -> Day:
    files: list[str] = []
    compacted: dict[str, Iterable[str]] = {}
    has_temporaries = False
    for each in _entries(entry.path):
        if each.name.startswith("."):
            has_temporaries |= each.name.endswith(TEMPORARY_SUFFIX)
        elif each.name.endswith(SUFFIX):
            stem = each.name.removesuffix(SUFFIX)
            if not is_compacted(stem):
                files.append(stem)
                continue
            try:
                compacted[stem] = read_compaction(Path(each.path)).footers
            except RawFileError:
                if Path(each.path).exists():
                    raise
                return _scan(entry)  # it has just been replaced by another or set aside
    return Day.of(entry.name, files, compacted, has_temporaries=has_temporaries)


def _stamp(folder: "os.DirEntry[str]") -> tuple[_Stamp, bool]:
    """What changes when a name in a folder does, and whether it will do so for certain."""
    stat = folder.stat()
    newest = max(stat.st_mtime_ns, stat.st_ctime_ns)
    stamp = [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return stamp, time.time_ns() - newest > _SETTLED_NS


def _load(cache: Path) -> dict[str, tuple[_Stamp, Day]]:
    """The kept days with their stamps; none when the file is missing or garbage."""
    try:
        stat = cache.stat()
    except OSError:
        return {}
    return _parse(cache, (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=16)
def _parse(cache: Path, version: tuple[int, ...]) -> dict[str, tuple[_Stamp, Day]]:
    try:
        head_line, _, body = cache.read_bytes().partition(b"\n")
        head = json.loads(head_line)
        if head["format"] != _FORMAT or head["crc"] != zlib.crc32(body):
            return {}
        lines = body.split(b"\n") if head["days"] else []
        return {
            day["name"]: (stamp, Day(**day, line=line))
            for (stamp, day), line in zip(head["days"], lines, strict=True)
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _store(cache: Path, days: dict[str, tuple[_Stamp, Day]]) -> None:
    lines = [day.line for _, day in days.values()]
    head = {
        "format": _FORMAT,
        "crc": zlib.crc32(b"\n".join(lines)),
        "days": [
            (
                stamp,
                {
                    "name": day.name,
                    "digest": day.digest,
                    "places": day.places,
                    "has_temporaries": day.has_temporaries,
                },
            )
            for stamp, day in days.values()
        ],
    }
    temporary = cache.with_name(f".{cache.name}.{uuid.uuid4().hex[:8]}.tmp")
    # Whoever may not write here lists anew each time. No fsync: the checksum tells a torn file.
    with suppress(OSError):
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(b"\n".join([json.dumps(head).encode(), *lines]))
            temporary.replace(cache)
        finally:
            temporary.unlink(missing_ok=True)


def _entries(folder: str | Path) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
