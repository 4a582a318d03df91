"""The command line: reads arguments, calls the part that does the work, turns errors into one line and an exit code.

0 success, 1 failed, 2 wrong usage or configuration.
"""

import gc
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ariagent import __version__, config, logs
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.lab.command import call
from ariagent.loop import run_async

app = typer.Typer(
    name="ariagent",
    help="An AI voice agent as one more member of an Asterisk contact center.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", metavar="FILE", help=f"Settings (YAML). Default: {config.DEFAULT_PATH}"),
]


def fail(error: AriagentError) -> NoReturn:
    """Say what went wrong on standard error and exit with the code for it."""
    typer.echo(f"ariagent: {error.line}", err=True)
    raise typer.Exit(2 if isinstance(error, ConfigurationError) else 1)


@app.command()
def run(configuration: ConfigOption = None) -> None:
    """Serve calls until told to end.

    Ctrl-C (SIGINT) ends at once: running calls go back to the dialplan, to people. SIGTERM drains: new
    calls are refused as busy, running ones may end by themselves (`drain_timeout_s`).

    Every setting can be overridden in the environment: `ARIAGENT_SECTION__KEY`, for instance
    `ARIAGENT_REALTIME__API_KEY`.
    """
    from ariagent.service import Service

    try:
        settings = config.load(configuration, serving=True)
        logs.configure(settings.log.level, settings.log.format)

        async def serve() -> None:
            await Service(settings).run()

        # What is loaded by now lives as long as the process. Left to the garbage collector, each of its full
        # rounds would look through it all and stop every call's audio for 15 ms or more.
        gc.collect()
        gc.freeze()
        run_async(serve())
    except* AriagentError as group:
        fail(_first(group))


def _first(group: BaseExceptionGroup[AriagentError]) -> AriagentError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, AriagentError)
    return error


app.command()(call)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def sandbox(context: typer.Context) -> None:
    """Run a local Realtime server to develop and test against."""
    # Imported only here, and with its own options: the service does without it, and so does an installation.
    from ariagent.sandbox.__main__ import app as sandbox_app

    sandbox_app(context.args, prog_name="ariagent sandbox")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point of the ``ariagent`` command."""
    try:
        app(prog_name="ariagent")
    except KeyboardInterrupt:
        sys.exit(130)
