"""Errors of the raw layer."""

from pathlib import Path

from lakehouse.errors import LakeError


class RawFileError(LakeError):
    """A committed file cannot be read as what it claims to be.

    Args:
        path: The file.
        cause: What is wrong with it.
    """

    def __init__(self, path: Path, cause: str) -> None:
        self.path = path
        super().__init__(
            f"the raw file {path} is damaged ({cause})",
            f"run `lake raw set-aside {path.stem}`, then `lake extract` to land its rows again",
        )


class LostCommitError(LakeError):
    """Commits show that another one, which was landed before them, has gone."""


def first_line(error: Exception) -> str:
    """The first line of an error's text, which is all that a sentence has room for."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
