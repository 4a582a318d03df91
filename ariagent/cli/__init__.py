"""The command line: reads arguments, calls the part that does the work, turns errors into one line and an exit code.

0 success, 1 failed (Asterisk refusing a password included), 2 wrong usage, or settings that do not load.
"""

import gc
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

from ariagent import __version__

MODULES = {
    "run": "service",
    "call": "rehearsal",
    "install": "install",
    "uninstall": "install",
    "files": "install",
    "init": "settings",
    "transfer": "control",
    "whisper": "control",
    "pause": "control",
    "resume": "control",
    "drain": "control",
    "sandbox": "rehearsal",
    "rehearse": "rehearsal",
    "schema": "settings",
    "check": "check",
    "rescue": "service",
    "calls": "calls",
    "version": "about",
}
"""The commands in the order of the help, each with its module here, which has a function of the same name."""


def application(names: Iterable[str] = MODULES) -> typer.Typer:
    """The command line with these commands. Only their modules are loaded."""
    app = typer.Typer(
        name="ariagent",
        help="An AI voice agent beside Asterisk: it answers calls and transfers callers to human agents.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in names:
        # The sandbox has options of its own, and shows its own help.
        passed_on = name == "sandbox"
        app.command(
            add_help_option=not passed_on,
            context_settings={"allow_extra_args": passed_on, "ignore_unknown_options": passed_on},
        )(getattr(import_module(f"ariagent.cli.{MODULES[name]}"), name))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An AI voice agent beside Asterisk: it answers calls and transfers callers to human agents."""


def main() -> None:
    """Run the command that ``sys.argv`` names."""
    named = sys.argv[1:2]
    # A start is nearly all imports, and after a crash callers wait for it. Only the modules of this command are loaded.
    # Garbage collections meanwhile would find nothing to collect, and take a tenth of the time.
    gc.disable()
    app = application(named if named and named[0] in MODULES else MODULES)
    if named == ["run"]:
        import_module("ariagent.service.service")
    gc.freeze()
    gc.enable()
    try:
        app(prog_name="ariagent")
    except KeyboardInterrupt:
        sys.exit(130)
