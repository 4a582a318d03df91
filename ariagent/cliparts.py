"""What the commands have in common: where their settings come from, and how they fail."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ariagent import config
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.install.ours import STATE

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help=f"Settings (YAML). Default: what {config.PATH_NAME} names, else {config.DEFAULT_PATH}",
    ),
]

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state-directory", metavar="DIR", help=f"Where copies and the list of changes are kept. Default: /{STATE}"
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print data.")]


def can_ask() -> bool:
    """Whether somebody sits at a terminal who can be asked."""
    return sys.stdin.isatty()


@contextmanager
def failing() -> Iterator[None]:
    """What goes wrong in it ends the command, as ``fail`` says it."""
    try:
        yield
    except AriagentError as error:
        fail(error)


def fail(error: AriagentError) -> NoReturn:
    """Say what went wrong on standard error and exit with the code for it."""
    typer.echo(f"ariagent: {error.line}", err=True)
    raise typer.Exit(2 if isinstance(error, ConfigurationError) else 1)
