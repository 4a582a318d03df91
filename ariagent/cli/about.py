"""``ariagent version``."""

import typer

from ariagent import __version__


def version() -> None:
    """Print the version."""
    typer.echo(__version__)
