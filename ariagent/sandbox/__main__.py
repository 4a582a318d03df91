"""``python -m ariagent.sandbox``."""

import typer

from ariagent.sandbox.command import sandbox

app = typer.Typer(rich_markup_mode="rich", add_completion=False)
app.command()(sandbox)

if __name__ == "__main__":
    app()
