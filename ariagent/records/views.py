"""Calls as data and as words: what the terminal, the page and ``--json`` have in common. CORE."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ariagent.records.cost import KINDS
from ariagent.records.entries import Latency, Note, ToolRun, Turn
from ariagent.records.events import AnswerDiscarded
from ariagent.records.model import CallRow, MessageRow, UseRow
from ariagent.records.timeline import Timeline

RARE = ("tools", "held")
"""Parts of an answer's latency that are only shown if there are any."""


def printable(text: str) -> str:
    """``text`` on one line without anything that a terminal or a page would obey: what callers say is not trusted."""
    return "".join(c if c.isprintable() else " " if c in "\n\r\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def clock(seconds: float) -> str:
    """A place on the call's time axis: ``1:02.3``."""
    minutes, rest = divmod(round(max(0.0, seconds), 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def span(seconds: float) -> str:
    """How long something took: ``9.3 s``, ``4 min 05 s``, ``2 h 03 min``."""
    if seconds < 59.95:
        return f"{max(0.0, seconds):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def amount(cost: float | None, currency: str) -> str:
    """Money, to a hundredth of a cent; what costs nothing, as the sandbox's calls, is ``free``."""
    if cost is None:
        return "-"
    return f"{cost:.4f} {currency}".rstrip() if cost else "free"


def outcome(call: CallRow) -> str:
    """How a call ended, or in what state it is."""
    if call.ended is None or not call.result:
        return call.state or "ringing"
    return f"{call.result} ({call.reason})" if call.reason else call.result


def split(latency: Latency) -> str:
    """``2310 ms = 210 detection + 190 model + 1900 tools + 10 service``."""
    parts = [f"{ms:.0f} {name}" for name, ms in latency.parts if name not in RARE or ms > 0]
    return f"{latency.response_ms:.0f} ms = {' + '.join(parts)}"


def facts(line: Timeline) -> list[tuple[str, str]]:
    """The facts that a reader wants to know first, as names and values."""
    waits = [latency.response_ms for latency in line.latencies]
    slow = sum(bool(latency.why) for latency in line.latencies)
    cut = [turn for turn in line.turns if turn.heard_ms is not None]
    broken = sum(not run.ok for run in line.tools)
    problems = sum(note.kind == "error" for note in line.notes) + broken
    found = [("Length", span(line.duration_s))]
    if waits:
        found += [("Answers", f"{len(waits)}" + (f", {slow} slow" if slow else ""))]
        found += [("Response time, median", f"{statistics.median(waits):.0f} ms"), ("Slowest", f"{max(waits):.0f} ms")]
    if cut:
        found.append(("Interruptions", str(len(cut))))
    if discarded := [note for note in line.notes if note.name == AnswerDiscarded.NAME]:
        costs = [cost if isinstance(cost := note.fields.get("cost"), float) else None for note in discarded]
        money = None if None in costs else sum(cost or 0.0 for cost in costs)
        found.append(("Discarded answers", f"{len(discarded)} ({amount(money, line.currency)})"))
    if line.tools:
        found.append(("Tools", f"{len(line.tools)}" + (f", {broken} failed" if broken else "")))
    if problems:
        found.append(("Errors", str(problems)))
    if gaps := sum(note.kind == "gap" for note in line.notes):
        found.append(("Audio gaps", str(gaps)))
    if line.use:
        found.append(("Cost", amount(line.cost, line.currency)))
    return found


def call_data(call: CallRow) -> dict[str, object]:
    """One call of a list, for ``--json``. Times are seconds since the epoch."""
    data = asdict(call)
    del data["row"], data["side"], data["words"]
    return {"id": call.id, **data, "live": call.live, "last_words": {"side": call.side, "text": call.words}}


def message_data(row: MessageRow) -> dict[str, object]:
    """A caller's message, for ``--json``. ``at`` is seconds since the epoch."""
    call = {"call": row.call.id, "agent": row.call.agent, "caller": row.call.caller}
    return {**call, "at": row.at, "kind": row.kind, "number": row.number, "when": row.when, "text": row.text}


def use_data(row: UseRow) -> dict[str, object]:
    """Tokens by kind and money, for ``--json``."""
    tokens = {kind: getattr(row.usage, kind) for kind in KINDS}
    return {"model": row.model, **tokens, "transcribed_s": row.transcribed_s, "cost": row.cost}


def cost_data(groups: Mapping[str, Sequence[UseRow]], by: str, currency: str) -> dict[str, object]:
    """Sums of several calls, for ``--json``."""
    rows = [{by: name, **use_data(row), "calls": row.calls} for name, uses in groups.items() for row in uses]
    return {"currency": currency, "by": by, "use": rows}


def timeline_data(line: Timeline) -> dict[str, object]:
    """A whole call, for ``--json``. ``at_s`` counts from the call's beginning."""
    return {
        **call_data(line.call),
        "duration_s": round(line.duration_s, 3),
        "started": line.head.to_fields() if line.head is not None else {},
        "finished": line.end.to_fields() if line.end is not None else {},
        "timeline": [_entry_data(entry) for entry in line.entries],
        "use": [use_data(row) for row in line.use],
        "cost": line.cost,
        "currency": line.currency,
    }


def _entry_data(entry: Turn | ToolRun | Note) -> dict[str, object]:
    data = {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(entry).items()}
    match entry:
        case Turn(latency=latency):
            if latency is not None:
                data["latency"] = {**asdict(latency), "slow": bool(latency.why)}
            return {"type": "turn", **data}
        case ToolRun():
            return {"type": "tool", **data, "slow": entry.slow}
    return {"type": "note", **data}
