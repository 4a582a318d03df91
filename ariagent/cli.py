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
def check(
    configuration: ConfigOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object at the end, and nothing else.")
    ] = False,
    talk: Annotated[
        bool, typer.Option("--talk", help="Also hold one spoken turn with the model, which costs a little.")
    ] = False,
) -> None:
    """Check the installation: settings, Asterisk, audio, model, tools.

    Prints a line for each thing as soon as it is known: *ok*, *warning* (calls work, something else does not),
    *failed* (calls do not work) or *skipped* (needs something that failed), and what to do about it. Exits with 0 when
    nothing failed, 1 when something did, 2 when the settings do not load.

    It may run beside the service and changes nothing: Asterisk is asked to connect to a port here for a moment,
    nobody is called, no request is made to the tools, and every agent's session with the model is opened and closed.
    """
    from ariagent.check.command import check as run_check

    try:
        code = run_check(configuration, as_json=as_json, talk=talk)
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the settings file, for editors.

    Save it, and put `# yaml-language-server: $schema=FILE` at the top of the settings.
    """
    from ariagent.configdoc import schema_text

    typer.echo(schema_text(), nl=False)


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
