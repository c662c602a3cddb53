"""``lake stream recount``: landed records decided again."""

import typer

from lakehouse.progress import progress
from lakehouse.settings import load_settings
from streaming.cli.common import Names, chosen_streams


def recount(names: Names = None) -> None:
    """Decide all landed records again, in their order: the repair of a contradiction."""
    from streaming.instances import no_instance
    from streaming.recount import recount as recount_stream

    settings = load_settings()
    with no_instance(settings):
        for stream in chosen_streams(settings, names):
            with progress(f"recounting {stream.name}", unit="records") as advance:
                done = recount_stream(settings, stream, advance)
            typer.echo(
                f"{stream.name}: {done.records:,} records decided again, {done.changed:,} "
                f"differently; {done.repeated:,} had landed more than once; "
                f"{done.set_aside:,} files set aside"
            )
    typer.echo("Next: lake build")
