"""``ariagent calls``: running and past calls."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ariagent import configfile
from ariagent.cli.options import ConfigOption, fail
from ariagent.errors import AriagentError


class SumBy(StrEnum):
    DAY = "day"
    AGENT = "agent"


def calls(
    call_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of a call, or the beginning or end of it.")
    ] = None,
    configuration: ConfigOption = None,
    past: Annotated[int, typer.Option(min=0, metavar="N", help="How many past calls (or messages) to list.")] = 10,
    every: Annotated[bool, typer.Option("--all", help="List all past calls.")] = False,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only calls of this agent.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only calls that began then or later: 2026-11-22, 90m, 12h, 7d.")
    ] = None,
    messages: Annotated[
        bool, typer.Option("--messages", help="List callers' messages and callback requests for human agents.")
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="Show tokens and cost of calls.")] = False,
    by: Annotated[SumBy, typer.Option(help="With --cost: add up the costs by day or by agent.")] = SumBy.DAY,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the call as an HTML page with both sides' waveforms.")
    ] = None,
    delete: Annotated[
        str | None, typer.Option(metavar="ID", help="Delete all records of a call (give its whole id).")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show running calls until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print data.")] = False,
) -> None:
    """List running and past calls, or print one call as a timeline.

    Running calls come from the service's API if this user may use it: on the service's machine as its user or as root,
    elsewhere with `ARIAGENT_API_URL` and `ARIAGENT_API_TOKEN`. Otherwise they come from the service's records.

    A timeline shows every turn with its response time, interruptions with the words that were heard, tools, errors,
    gaps in the audio, and cost. It comes from the service's records (`state_directory`), also if the service is down.
    """
    from ariagent.control import command as steer
    from ariagent.records import command

    try:
        if delete is not None:
            command.delete(configuration, delete)
            return
        if watch:
            steer.watch(configuration, agent)
        most = None if every else past
        wanted = command.Wanted(most, agent, since, by.value if cost else None, html, as_json, messages)
        alone = call_id is None and not cost and not messages
        running = steer.running(configuration) if alone else None
        if running is not None and configuration is None and not configfile.chosen().exists():
            steer.show(running, agent, as_json=as_json)  # a service on another machine, which has the records
        else:
            command.show(configuration, call_id, wanted, running)
    except AriagentError as error:
        fail(error)
