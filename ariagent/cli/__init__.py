"""The command line: reads arguments, calls the part that does the work, turns errors into one line and an exit code.

0 success, 1 failed (Asterisk refusing a password included), 2 wrong usage, or settings that do not load.
"""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from ariagent import __version__
from ariagent.cli import calls, check, control, install, rehearsal, service, settings

app = typer.Typer(
    name="ariagent",
    help="An AI voice agent beside Asterisk: it answers calls and transfers callers to human agents.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An AI voice agent beside Asterisk: it answers calls and transfers callers to human agents."""


_COMMANDS: tuple[Callable[..., None], ...] = (
    service.run,
    rehearsal.call,
    install.install,
    install.uninstall,
    install.files,
    settings.init,
    control.transfer,
    control.whisper,
    control.pause,
    control.resume,
    control.drain,
    rehearsal.sandbox,
    rehearsal.rehearse,
    settings.schema,
    check.check,
    service.rescue,
    calls.calls,
)
for _command in _COMMANDS:
    # The sandbox has options of its own, and shows its own help.
    passed_on = _command is rehearsal.sandbox
    app.command(
        add_help_option=not passed_on,
        context_settings={"allow_extra_args": passed_on, "ignore_unknown_options": passed_on},
    )(_command)


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
