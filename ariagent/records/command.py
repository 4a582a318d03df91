"""``ariagent calls``: running and past calls, one call as a timeline, what callers left, what calls cost."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import typer

from ariagent import configfile, privatefile
from ariagent.errors import ConfigurationError
from ariagent.records import page, terminal, timeline, views
from ariagent.records.cost import PriceTable
from ariagent.records.model import CallRow
from ariagent.records.store import GroupBy, RecordsError, Store

PAST = 10
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of ``ariagent calls``."""

    past: int | None = PAST
    """How many past calls to list; None: all."""
    agent: str | None = None
    since: str | None = None
    cost_by: GroupBy | None = None
    html: Path | None = None
    as_json: bool = False
    messages: bool = False
    """Show callers' messages instead of calls."""


def show(
    configuration: Path | None, call_id: str | None, wanted: Wanted, running: Sequence[dict[str, Any]] | None = None
) -> None:
    """Print a list of calls, one call, messages, or what calls cost. Raises AriagentError.

    ``running``: calls in progress, as the service tells them (CallAnswer); None: the records are to tell.
    """
    settings = configfile.load(configuration)
    store, prices = Store(settings.state_directory, settings.zone), PriceTable(settings.cost)
    since = None if wanted.since is None else moment(wanted.since, time.time(), settings.zone)
    if wanted.html is not None and call_id is None:
        raise ConfigurationError("--html is for one call", remedy="Name it: ariagent calls ID --html FILE")
    if wanted.messages:
        if call_id is not None:
            raise ConfigurationError(
                "--messages lists those of all calls", remedy=f"ariagent calls {call_id} has its own"
            )
        _messages(store, wanted.past, wanted.agent, since, as_json=wanted.as_json)
    elif wanted.cost_by is not None:
        _cost(store, prices, wanted.cost_by, wanted.agent, since, as_json=wanted.as_json)
    elif call_id is not None:
        _one(store, prices, call_id, wanted.html, as_json=wanted.as_json)
    else:
        mine = None if running is None else [call for call in running if wanted.agent in (None, call["agent"])]
        _list(store, prices.currency, wanted.past, wanted.agent, since, mine, as_json=wanted.as_json)


def delete(configuration: Path | None, call_id: str) -> None:
    """Erase a call, named by its whole id. Raises AriagentError."""
    store = Store(configfile.load(configuration).state_directory)
    call = store.find(call_id)
    if call.id != call_id:
        raise ConfigurationError(f"--delete needs the whole id of a call: {call.id}?")
    erased = store.delete(call)
    typer.echo(f"Deleted {call.id}")
    if not erased:
        typer.echo(
            "Its data stays on the disk while another program reads the records. Then the service overwrites it, at "
            "its next start if it is down",
            err=True,
        )


def moment(text: str, now: float, zone: tzinfo | None = None) -> float:
    """The time (seconds since the epoch) that ``--since`` names: so long ago, or a local date or time. ``zone``: the
    site's; None: the machine's."""
    if found := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
        return now - int(found[1]) * _UNITS[found[2]]
    try:
        when = datetime.fromisoformat(text.strip())
        return (when.replace(tzinfo=zone) if when.tzinfo is None else when).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigurationError(
            f"--since {text!r} is not a time", remedy="Write it as 2026-11-22, 2026-11-22T14:30, 90m, 12h, 7d or 2w"
        ) from None


def _print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False))


def _list(
    store: Store,
    currency: str,
    limit: int | None,
    agent: str | None,
    since: float | None,
    running: list[dict[str, Any]] | None,
    *,
    as_json: bool,
) -> None:
    try:
        live, past = store.live(agent), store.past(limit, agent, since)
    except RecordsError:
        if running is None:
            raise
        live, past = [], []  # nothing is recorded, or may be read; calls in progress can be told all the same
    if as_json:
        told = [views.call_data(call) for call in live] if running is None else _joined(live, running)
        _print_json({"live": told, "past": [views.call_data(c) for c in past]})
        return
    out, now = terminal.console(), time.time()
    if running:
        out.print(terminal.running(running, store.zone))
    elif live and running is None:
        out.print(terminal.calls(f"{len(live)} running", live, now, currency, store.zone))
    else:
        out.print("No call is running.")
    if past:
        out.print(terminal.calls("Past", past, now, currency, store.zone))


def _joined(live: Sequence[CallRow], running: Sequence[dict[str, Any]]) -> list[dict[str, object]]:
    """Join the service's data of each call with that of the records."""
    recorded = {call.call: views.call_data(call) for call in live}
    return [{**recorded.get(call["id"], {}), "live": True, **call} for call in running]


def _messages(store: Store, limit: int | None, agent: str | None, since: float | None, *, as_json: bool) -> None:
    found = store.messages(limit, agent, since)
    if as_json:
        _print_json({"messages": [views.message_data(row) for row in found]})
    elif found:
        terminal.console().print(terminal.messages(found, store.zone))
    else:
        typer.echo("No message was taken.")


def _one(store: Store, prices: PriceTable, name: str, html: Path | None, *, as_json: bool) -> None:
    call = store.find(name)
    line = timeline.build(call, store.events(call), store.waves(call), store.use(call), prices)
    if html is not None:
        try:
            privatefile.write(html, page.render(line, terminal.when(call.began, store.zone), prices))
        except OSError as error:
            raise ConfigurationError(f"{html} cannot be written: {error.strerror}") from None
    if as_json:
        _print_json(views.timeline_data(line))
    elif html is not None:
        typer.echo(f"Wrote {html}")
    else:
        terminal.console().print(terminal.timeline(line, store.visits(call.call), store.zone))


def _cost(
    store: Store, prices: PriceTable, by: GroupBy, agent: str | None, since: float | None, *, as_json: bool
) -> None:
    found = store.use_by(by, agent, since)
    groups = {name: [row.priced(prices) for row in rows] for name, rows in found.items()}
    if as_json:
        _print_json(views.cost_data(groups, by, prices.currency))
    elif groups:
        terminal.console().print(terminal.costs(groups, by, prices.currency))
    else:
        typer.echo("No use has been recorded.")
