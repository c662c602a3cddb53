"""The command ``lake ui``.

Here belongs what the command says. Must not import Dagster: the command line loads this module each
time.
"""

import time
from typing import Annotated

import typer

from lakehouse.cli.output import examples


def register(app: typer.Typer) -> None:
    """Add the commands of this layer.

    Args:
        app: The ``lake`` command.
    """
    app.command("ui", epilog=examples("lake ui", "lake ui --port 3001"))(ui)


def ui(
    port: Annotated[
        int, typer.Option(envvar="LAKE_UI_PORT", min=1, max=65535, help="Port on 127.0.0.1.")
    ] = 3000,
) -> None:
    """Start the Dagster UI on this machine.

    It shows one graph of raw tables, models, tests and the published warehouse. Runs and
    schedules are kept in data/dagster. Ctrl-C stops everything. If the UI of this
    project is open already, its address is shown.
    """
    from lakehouse.locks import file_lock
    from lakehouse.settings import load_settings
    from orchestration.dagster_home import prepare_home
    from orchestration.dbt_manifest import load_manifest
    from orchestration.ui import DagsterUi, require_free_port, running_ui, ui_lock, ui_purpose

    started = time.monotonic()
    settings = load_settings()
    if told := running_ui(settings):
        typer.echo(told)
        return
    prepare_home(settings)
    with file_lock(ui_lock(settings), purpose=ui_purpose(port), wait=False):
        require_free_port(port)
        typer.echo("Starting Dagster ...")
        load_manifest(settings)  # a mistake in the dbt project is said here, not in the browser
        dagster = DagsterUi(settings, port)
        with dagster.running():
            if dagster.wait_until_ready():
                seconds = time.monotonic() - started
                typer.echo(f"Dagster UI: {dagster.url} (after {seconds:.0f} s)")
                typer.echo(f"Log: {dagster.log_path}. Ctrl-C stops everything.")
                dagster.wait_until_stopped()
            typer.echo("Stopping Dagster ...")
    typer.echo("Stopped.")
