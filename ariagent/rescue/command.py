"""``ariagent rescue``."""

import json
from pathlib import Path

import typer

from ariagent import configfile, logs
from ariagent.loop import run_async
from ariagent.rescue.rescuer import Moved, Rescuer, Verdict


def rescue(path: Path | None, *, after_s: float | None, watch: bool, as_json: bool) -> int:
    """Rescue once, or watch; returns the exit code. Raises AriagentError."""
    settings = configfile.load(path)
    rescuer = Rescuer(settings)
    if watch:
        logs.configure(settings.log.level, settings.log.format)
        run_async(rescuer.watch())
        return 0
    logs.configure("critical")
    verdict, moved = run_async(_once(rescuer, settings.rescue.after_s if after_s is None else after_s))
    if as_json:
        typer.echo(
            json.dumps({"service_answers": verdict is None, "channels": [_document(one) for one in moved]}, indent=1)
        )
    elif verdict is None:
        typer.echo("the service answers: nothing was done")
    else:
        for one in moved:
            typer.echo(_line(one))
        typer.echo(f"{sum(not one.cause for one in moved)} of {len(moved)} channels moved or hung up")
    return 1 if any(one.cause for one in moved) else 0


async def _once(rescuer: Rescuer, after_s: float) -> tuple[Verdict | None, list[Moved]]:
    verdict = await rescuer.verdict(after_s)
    return verdict, [] if verdict is None else await rescuer.rescue(verdict)


def _line(one: Moved) -> str:
    who = one.who
    said = f"failed: {one.cause}" if one.cause else f"to {one.queue}" if one.queue else "hung up"
    return f"{who.call_id or '-':20} {who.caller or '-':16} {who.channel}  {said}"


def _document(one: Moved) -> dict[str, str]:
    who = one.who
    return {
        "call": who.call_id,
        "caller": who.caller,
        "channel": who.channel,
        "way": who.way.value,
        "queue": one.queue,
        "cause": one.cause,
    }
