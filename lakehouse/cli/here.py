"""Naming our commands the way they work where the user stands.

After ``make demo`` the commands are in ``.venv/bin``, which is rarely in ``PATH``: a hint that
says ``lake sql`` would end in "command not found". Here belongs wording a command. Here does not
belong which command to hint at.
"""

import re
import shutil
import sys
from pathlib import Path


def command(text: str) -> str:
    """A command of this environment as it can be typed here.

    Args:
        text: For example ``lake sql``.
    """
    return f"{_prefix(text.split()[0])}{text}"


def as_typed(sentence: str) -> str:
    """A sentence with every ``lake`` and ``dbt`` command in backticks as it can be typed here.

    Args:
        sentence: For example an error's.
    """
    return re.sub(r"`((?:lake|dbt)\b[^`]*)`", lambda found: f"`{command(found[1])}`", sentence)


def _prefix(program: str) -> str:
    """What has to stand before a program of this environment; nothing if ``PATH`` finds it."""
    ours = Path(sys.executable).with_name(program)
    found = shutil.which(program)
    if not ours.is_file() or (found and ours.samefile(found)):
        return ""
    folder, here = ours.parent, Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    return f"{shown}/"
