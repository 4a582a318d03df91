"""The commands ``ariagent calls|transfer|whisper|pause|resume|drain`` for a running service."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from ariagent.control.client import Client, ServiceError, escaped
from ariagent.control.schemas import LONGEST_WAIT_S
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.records import terminal
from ariagent.records.views import printable

Data = dict[str, Any]
WATCH_S = 0.5


def running(configuration: Path | None) -> list[Data] | None:
    """The calls in progress, as the service tells them; None: it does not run, or may not be asked."""
    try:
        return list(Client.find(configuration).get("calls")["calls"])
    except AriagentError:
        return None


def show(calls: list[Data], agent: str | None, *, as_json: bool) -> None:
    """Calls in progress, where there are no records to be read."""
    found = [call for call in calls if agent in (None, call["agent"])]
    if as_json:
        _print_json({"live": [{**call, "live": True} for call in found], "past": []})
    else:
        terminal.console().print(terminal.running(found) if found else "No call is running.")


def transfer(
    configuration: Path | None,
    name: str,
    where: Mapping[str, str | None],
    *,
    reason: str = "",
    summary: str = "",
    wait: bool = True,
    as_json: bool = False,
) -> None:
    """Move a call. ``where``: ``queue`` or ``destination``, the other None. Raises AriagentError."""
    chosen = {key: value for key, value in where.items() if value is not None}
    if len(chosen) != 1:
        raise ConfigurationError("give either --queue QUEUE or --to DESTINATION")
    client = Client.find(configuration)
    call = client.call(name)
    body = {**chosen, "reason": reason, "summary": summary, "wait_s": LONGEST_WAIT_S if wait else 0.0}
    done = client.post(f"calls/{escaped(call['id'])}/transfer", body, wait_s=LONGEST_WAIT_S)
    if as_json:
        _print_json(done)
    elif done["state"] == "transferred":
        typer.echo(f"{call['id']} is with {done['to']} now")
    else:
        typer.echo(f"{call['id']} is being transferred to {done['to']}")


def whisper(configuration: Path | None, name: str, text: str, *, now: bool = False, as_json: bool = False) -> None:
    """Tell the model something. Raises AriagentError."""
    client = Client.find(configuration)
    call = client.call(name)
    done = client.post(f"calls/{escaped(call['id'])}/whisper", {"text": text, "now": now})
    if as_json:
        _print_json(done)
    else:
        typer.echo(f"The agent of {call['id']} got this note: {printable(done['told'])}")


def pause(configuration: Path | None, seat: str | None, *, paused: bool, as_json: bool = False) -> None:
    """Pause a seat or all, or end that. Raises AriagentError."""
    client = Client.find(configuration)
    done = client.post(f"seats/{'pause' if paused else 'resume'}", {} if seat is None else {"seat": seat})
    held = [] if paused else client.get("seats")["held_by"]
    if as_json:
        _print_json(done)
        return
    seats = done["seats"]
    who = f"seat {seats[0]}" if len(seats) == 1 else f"{len(seats)} seats"
    verb = "paused" if paused else "resumed"
    typer.echo(f"{who} {verb}" + ("" if done["settled"] else "; Asterisk gets the change as soon as it answers"))
    if held:
        typer.echo(f"They take no calls yet: {', '.join(held)}", err=True)


def drain(
    configuration: Path | None,
    *,
    to: str | None = None,
    after_s: float | None = None,
    wait: bool = False,
    as_json: bool = False,
) -> None:
    """Have the service end when its calls have ended; with ``wait`` return when it has. Raises AriagentError."""
    client = Client.find(configuration)
    done = client.post("drain", {"to": to, "after_s": after_s})
    if as_json:
        _print_json(done)
    else:
        calls = f"{done['calls']} {'call' if done['calls'] == 1 else 'calls'}"
        then = "wait for the next process" if done["to"] == "next" else "go to the human queue"
        typer.echo(f"no new calls; {calls} may continue for {done['timeout_s']:g} s, then the callers {then}")
    while wait:
        time.sleep(WATCH_S)
        try:
            wait = client.get("calls").get("process") == done.get("process")
        except ServiceError as error:
            if error.error not in ("", "wrong_token"):
                raise
            break  # ended; or the next one serves already


def watch(configuration: Path | None, agent: str | None, every_s: float = 1.0) -> None:
    """Show the calls in progress until interrupted. Raises AriagentError."""
    from rich.console import Console
    from rich.live import Live

    client = Client.find(configuration)
    with Live(console=Console(highlight=False, markup=False, emoji=False), auto_refresh=False, screen=True) as screen:
        while True:
            try:
                calls = [call for call in client.get("calls")["calls"] if agent in (None, call["agent"])]
                screen.update(terminal.running(calls), refresh=True)
            except ServiceError as error:
                if error.error:
                    raise
                # It is being restarted, maybe; its next token is another one.
                screen.update(Text(error.line, "red"), refresh=True)
            time.sleep(every_s)
            client = _again(configuration, client)


def _again(configuration: Path | None, client: Client) -> Client:
    try:
        return Client.find(configuration)
    except ServiceError:
        return client


def _print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False))
