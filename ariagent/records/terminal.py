"""Calls in the terminal."""

import os
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ariagent.localtime import local
from ariagent.records import views
from ariagent.records.entries import Entry, Note, ToolRun, Turn
from ariagent.records.model import CallRow, MessageRow, UseRow
from ariagent.records.timeline import Timeline

PIPE_COLUMNS = 160
_WAYS = ("input", "cached", "output")
_CUT = 300
"""Characters of a tool's arguments and output; the page and ``--json`` have all."""


def console() -> Console:
    """Standard output; wide enough for a line where it is no terminal."""
    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPE_COLUMNS
    return made


def when(at: float, zone: tzinfo | None = None) -> str:
    """Local date and time. ``zone``, here and below: the site's; None: the machine's."""
    return local(at, zone).strftime("%Y-%m-%d %H:%M:%S")


def calls(title: str, rows: Sequence[CallRow], now: float, currency: str, zone: tzinfo | None = None) -> Table:
    """A list of calls, one a line."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, expand=True
    )
    names = ("id", "began", "length", "agent", "caller", "state", currency or "cost")
    lines = [_call_cells(row, now, zone) for row in rows]
    for n, name in enumerate(names):
        # Only the words may be too long for the terminal: an id that is cut off is of no use.
        width = max(len(name), *(line[n].cell_len for line in lines))
        table.add_column(name, no_wrap=True, min_width=width, justify="right" if name == names[-1] else "left")
    table.add_column("last words", ratio=1, no_wrap=True, overflow="ellipsis")
    for row, line in zip(rows, lines, strict=True):
        table.add_row(*line, _text(f"{row.side}: {row.words}" if row.words else ""))
    return table


def _call_cells(row: CallRow, now: float, zone: tzinfo | None) -> list[Text]:
    over = row.ended if row.ended is not None else now if row.live else None
    length = views.span(over - row.began) if over is not None else "-"
    agent = f"{row.agent} {row.seat}".strip() or "-"
    state = _text(views.outcome(row))
    state.stylize("green" if row.live else "red" if row.result in ("error", "no_model") or row.state == "lost" else "")
    cost = views.amount(row.cost, "")
    began = local(row.began, zone).strftime("%m-%d %H:%M")
    return [*map(_text, (row.id, began, length, agent, row.caller or "-")), state, Text(cost)]


def running(rows: Sequence[Mapping[str, Any]], zone: tzinfo | None = None) -> Table:
    """Calls in progress, as the service tells them (CallAnswer), one a line."""
    table = Table(
        title=f"{len(rows)} running",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        expand=True,
    )
    lines = [_running_cells(row, zone) for row in rows]
    for n, name in enumerate(("id", "since", "agent", "caller", "queue", "lang", "state")):
        table.add_column(name, no_wrap=True, min_width=max([len(name), *(line[n].cell_len for line in lines)]))
    table.add_column("last words", ratio=1, no_wrap=True, overflow="ellipsis")
    for row, line in zip(rows, lines, strict=True):
        said = row["last_words"]
        table.add_row(*line, _text(f"{said['side']}: {said['text']}" if said else ""))
    return table


def _running_cells(row: Mapping[str, Any], zone: tzinfo | None) -> list[Text]:
    since = local(row["began"], zone).strftime("%H:%M:%S")
    agent = f"{row['agent']} {row['seat']}".strip()
    plain = (row["id"], since, agent, row["caller"], row["queue"], row["language"])
    state = _text(row["state"])
    state.stylize("green")
    return [*(_text(cell or "-") for cell in plain), state]


def messages(rows: Sequence[MessageRow], zone: tzinfo | None = None) -> Table:
    """Callers' messages."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("call", "taken", "caller", "kind", "number", "when"):
        table.add_column(name, no_wrap=name != "when", overflow="fold")
    table.add_column("text", ratio=1, overflow="fold")
    for row in rows:
        cells = (row.call.id, when(row.at, zone), row.call.caller or "-", row.kind, row.number or "-", row.when or "-")
        table.add_row(*map(_text, (*cells, row.text)))
    return table


def costs(groups: Mapping[str, Sequence[UseRow]], by: str, currency: str) -> Table:
    """Use and money, summed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(by, overflow="fold", min_width=10)
    table.add_column("model", overflow="fold", min_width=16)
    for name in ("calls", "text in/cached/out", "audio in/cached/out", "transcribed", currency or "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    total = 0.0
    for name, uses in groups.items():
        for row in uses:
            tokens = (
                "/".join(f"{getattr(row.usage, f'{way}_{what}'):,}" for way in _WAYS) for what in ("text", "audio")
            )
            money = views.amount(row.cost, "")
            total += row.cost or 0.0
            transcribed = views.span(row.transcribed_s) if row.transcribed_s else "-"
            table.add_row(_text(name or "-"), _text(row.model), str(row.calls), *tokens, transcribed, money)
    table.add_section()
    table.add_row("together", "", "", "", "", "", f"{total:.4f}", style="bold")
    return table


def timeline(line: Timeline, visits: Sequence[CallRow] = (), zone: tzinfo | None = None) -> RenderableType:
    """One call, entry after entry."""
    call = line.call
    head = Text()
    head.append(f"Call {views.printable(call.id)}", "bold")
    for part in (call.agent, f"seat {call.seat}" if call.seat else "", call.caller, when(call.began, zone)):
        if part:
            head.append(f"  {views.printable(part)}")
    head.append(f"  {views.printable(views.outcome(call))}", "bold green" if call.live else "bold")
    if line.end is not None and line.end.cause:
        head.append(f": {views.printable(line.end.cause)}", "red")
    summary = Text("; ".join(f"{name}: {value}" for name, value in views.facts(line)), "dim")
    parts: list[RenderableType] = [head, summary]
    if call.dropped:
        parts.append(Text(f"{call.dropped} events of this call could not be recorded.", "red"))
    if others := [visit.id for visit in visits if visit.id != call.id]:
        parts.append(Text(f"The same call came to the AI more than once: {', '.join(map(views.printable, others))}"))
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for entry in line.entries:
        table.add_row(Text(views.clock(entry.at_s), "dim"), *_entry(entry))
    return Group(*parts, Text(), table)


def _entry(entry: Entry) -> tuple[Text, Text]:
    match entry:
        case Turn():
            return Text(entry.side, "cyan" if entry.side == "caller" else "magenta"), _turn(entry)
        case ToolRun():
            return Text("tool", "yellow"), _tool(entry)
        case Note():
            style = {"error": "red", "gap": "yellow"}.get(entry.kind, "dim")
            return Text(entry.kind if entry.kind != "event" else "-", style), _note(entry, style)


def _turn(turn: Turn) -> Text:
    text = _text(turn.text or "(not transcribed)")
    if turn.heard_ms is not None:
        text.append(f"\ninterrupted after {turn.heard_ms:.0f} ms", "yellow")
        heard = f'; heard: "{views.printable(turn.heard_text)}"' if turn.heard_text else "; nothing of it was heard"
        text.append(f"{heard if turn.text or turn.heard_text else ''} ({turn.dropped_ms:.0f} ms dropped)", "yellow")
    if turn.latency is not None:
        text.append(f"\nafter {views.split(turn.latency)}", "dim")
        if turn.latency.why:
            text.append(f"  SLOW: {views.printable(turn.latency.why)}", "bold red")
    return text


def _tool(run: ToolRun) -> Text:
    text = Text(f"{views.printable(run.tool)}({_short(run.arguments)})")
    if run.ms is None and not run.own:
        text.append(" did not come back", "red")
    elif run.ms is not None:
        text.append(f" {run.ms:.0f} ms{'  SLOW' if run.slow else ''}", "bold red" if run.slow else "dim")
    if not run.ok:
        text.append(f" failed: {views.printable(run.kind) or '?'}", "red")
    if run.output:
        text.append(f"\n-> {_short(run.output)}", "dim")
    return text


def _note(note: Note, style: str) -> Text:
    text = Text(views.printable(note.name), style)
    return text.append(f"  {_short(note.text)}")


def _short(text: str) -> str:
    text = views.printable(text)
    return text if len(text) <= _CUT else text[:_CUT] + "..."


def _text(text: str) -> Text:
    return Text(views.printable(text))
