"""How many keys of a table are live in raw, counted as seldom as possible.

Counting all keys of a large table takes seconds. What is known about an earlier set of commits is
remembered, and only the keys of the commits since then are looked at.
"""

from pathlib import Path

from ingest.postgres.history import History
from ingest.postgres.state import Checkpoint


class LiveRows:
    """Counts live keys of one table.

    Args:
        history: What is landed.
        checkpoint: What the run before counted, if it speaks of the commits as they are now.
    """

    def __init__(self, history: History, checkpoint: Checkpoint | None) -> None:
        self._history = history
        self._files: frozenset[Path] = frozenset()
        self._count = 0
        if checkpoint is not None and checkpoint.live_rows is not None:
            self.know(checkpoint.live_rows)

    def know(self, count: int) -> None:
        """Take a count for the commits as they are now from somebody who knows it."""
        self._files, self._count = frozenset(self._history.files()), count

    def count(self) -> int:
        """How many keys have a latest version that is no tombstone.

        Raises:
            RawFileError: A commit on which the answer depends is damaged.
        """
        self._count += self._history.live_change(self._files)
        self._files = frozenset(self._history.files())
        return self._count
