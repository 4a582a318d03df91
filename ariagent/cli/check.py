"""``ariagent check``: whether everything that calls need works."""

from pathlib import Path
from typing import Annotated

import typer

from ariagent.cli.options import ConfigOption, StateOption, fail
from ariagent.errors import AriagentError


def check(
    configuration: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only one JSON object, at the end.")] = False,
    talk: Annotated[
        bool, typer.Option("--talk", help="Also have one spoken turn with the model. It costs a little.")
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Also find out how the model's server differs from OpenAI's. It costs about two cents."
        ),
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write diagnostic data for a maintainer to FILE (.tar.gz), without secrets."
        ),
    ] = None,
    with_words: Annotated[
        bool, typer.Option("--with-words", help="With --bundle: include spoken words and telephone numbers.")
    ] = False,
    calls: Annotated[
        int, typer.Option(min=0, max=1000, metavar="N", help="With --bundle: include records of the newest N calls.")
    ] = 10,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --bundle: the service's log, if it is a file.")
    ] = None,
    installation: StateOption = None,
) -> None:
    """Check the installation: settings, Asterisk, audio, model, tools.

    Prints a line for each check as soon as its result is known: *ok*, *warning* (calls work, but not everything),
    *failed* (calls do not work, or cannot be transferred as the settings say) or *skipped* (the check needs something
    that failed). The line of a fault ends with the remedy.

    You can run it beside the service. It changes nothing. It makes one or two AudioSocket channels in Asterisk; they
    last less than a second and have no call detail record. It opens and closes a session with the model for each agent.
    It calls nobody and sends no request to the tools.

    --probe is for a server that is neither OpenAI's nor Azure's. It opens two sessions at once, asks the model to say
    some words, and prints the realtime.dialect that fits the server. Do not run it on a server that is full of calls.

    --bundle FILE writes the results, versions, settings, Asterisk's state, metrics, health, the end of the log and the
    newest calls' records to one file. It sends nothing. It removes secrets, and without --with-words also spoken words
    and telephone numbers. Read the file before you send it.

    Exit code 0: nothing failed; 1: something failed; 2: wrong usage, or the settings do not load.
    """
    from ariagent.check.bundle import Wanted
    from ariagent.check.command import check as run_check

    wanted = None if bundle is None else Wanted(bundle, with_words, calls, log)
    try:
        code = run_check(
            configuration, as_json=as_json, talk=talk, probe=probe, bundle=wanted, installation=installation
        )
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)
