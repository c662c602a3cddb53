"""The entry of ``lake``: puts the commands together and turns failures into sentences."""

import errno
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from lakehouse import __version__, layers
from lakehouse.cli import build, clean, doctor, failures, status, warehouse
from lakehouse.cli.here import as_typed
from lakehouse.cli.output import examples
from lakehouse.errors import LakeError

INTERRUPTED = 130


def build_app() -> typer.Typer:
    """The kernel's commands and those of every layer that can be imported."""
    app = typer.Typer(
        name="lake",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        # Rich help would be half of the time that `lake --help` takes.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for module in (doctor, build, failures, warehouse, status, clean):
        module.register(app)
    broken = [str(layer) for layer in _register_layers(app)]
    app.callback(epilog="\n\n".join([examples("lake demo", "lake build --help"), *broken]))(_lake)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments without the program's name; those of the process if None.

    Returns:
        The exit code: 0 done, 1 a failure said in one sentence, 2 wrong usage, 130 interrupted.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        build_app()(args=None if argv is None else list(argv), prog_name="lake")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == INTERRUPTED:
            _say("Interrupted.")
        return code
    except KeyboardInterrupt:
        _say("Interrupted.")
        return INTERRUPTED
    except LakeError as error:
        _say(f"Error: {error}")
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _say(f"Error: {error.strerror}: {error.filename or 'a file'}. Next: run `lake doctor`.")
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _register_layers(app: typer.Typer) -> Sequence[layers.BrokenLayer]:
    contributions = layers.load(layers.COMMANDS)
    for register in contributions.functions:
        register(app)
    return contributions.broken


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lake {__version__} (Python {sys.version.split()[0]})")
        raise typer.Exit


def _lake(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Operational data to a tested, published warehouse on one machine."""
    _adopt_env_file()


def _adopt_env_file() -> None:
    """Let ``.env`` in the root speak for every option and setting that reads the environment."""
    from dotenv import dotenv_values

    from lakehouse.settings import find_root

    for name, value in dotenv_values(find_root(Path.cwd(), dict(os.environ)) / ".env").items():
        if value and name.startswith("LAKE_"):
            os.environ.setdefault(name, value)


def _say(sentence: str) -> None:
    typer.echo(as_typed(" ".join(sentence.split())), err=True)


def _terminate(number: int, frame: FrameType | None) -> None:
    # As an exception, so that every `with` on the way out stops what it has started.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
