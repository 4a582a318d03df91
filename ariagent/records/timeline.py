"""One call as it went: who said what when, how long each answer took and why, what else happened. CORE.

The journal's events come in the order in which we learned of things: a caller's words arrive after the answer to them,
an answer's latency before its words. Here they are put where they belong on the call's own time axis, which begins
with the call (``at_s``, seconds).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ariagent.audio.peaks import BLOCK_MS, decibels
from ariagent.records.cost import PriceTable
from ariagent.records.model import CallRow, EventRow, UseRow, WaveRow

SLOW_MS = 1000.0
"""An answer that the caller waits longer for is called slow, and explained."""
SLOW_TOOL_MS = 1000.0

_BLOCK_S = BLOCK_MS / 1000
_LOUD_DB = -40.0
_PAUSE_S = 0.8
"""Speech with shorter pauses is one stretch."""
_LATE_WORDS_S = 15.0
"""The transcription of what was said earlier than that is of something else."""

_FAULTS = (".failed", ".refused", ".malformed", ".broken", ".lost", ".unreachable")
_QUIET = {"call.started", "call.answered", "call.ended", "call.state", "usage"}
"""Shown in the head or nowhere, not as an entry of the timeline."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long the caller waited for an answer, from their true end of speech to its first frame, in parts (ms)."""

    response_ms: float
    detection_ms: float
    """Until the model reported that the turn was over."""
    model_ms: float
    """Until its first audio arrived, less what tools took of that."""
    tools_ms: float
    """What tools took meanwhile."""
    ours_ms: float
    """Until its first frame was handed to Asterisk."""
    why: str = ""
    """What made it slow; empty when it was not."""

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """The parts in order, by name."""
        named = ("detection", self.detection_ms), ("model", self.model_ms)
        return *named, ("tools", self.tools_ms), ("ours", self.ours_ms)


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that was said."""

    at_s: float
    """When it began to be heard, as well as is known."""
    end_s: float
    side: str
    """``caller`` or ``agent``."""
    text: str
    item: str = ""
    latency: Latency | None = None
    """Of an agent's answer."""
    heard_ms: float | None = None
    """Of an agent's turn that the caller talked over: what they heard of it."""
    dropped_ms: float = 0.0
    heard_text: str = ""
    """The words of that, estimated."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool that the model called."""

    at_s: float
    tool: str
    ms: float | None
    """None: it had not come back when the call ended."""
    ok: bool
    kind: str = ""
    """What went wrong, where something did."""
    arguments: str = ""
    output: str = ""

    @property
    def slow(self) -> bool:
        return self.ms is not None and self.ms >= SLOW_TOOL_MS


@dataclass(frozen=True, slots=True)
class Note:
    """Anything else."""

    at_s: float
    name: str
    fields: Mapping[str, object]
    kind: str = "event"
    """``error``, ``gap`` (audio was missing) or ``event``."""

    @property
    def text(self) -> str:
        """The fields as one line."""
        return ", ".join(f"{key} {show(value)}" for key, value in self.fields.items())


Entry = Turn | ToolRun | Note


@dataclass(frozen=True, slots=True)
class Timeline:
    """One call, ready to be shown."""

    call: CallRow
    head: Mapping[str, object]
    """What ``call.started`` told."""
    end: Mapping[str, object]
    """What ``call.ended`` told."""
    duration_s: float
    entries: tuple[Entry, ...]
    use: tuple[UseRow, ...] = ()
    currency: str = ""
    waves: Mapping[str, bytes] = field(default_factory=dict)
    """By side: one byte per 50 ms from the call's beginning (see ``audio.peaks``)."""

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Turn))

    @property
    def tools(self) -> tuple[ToolRun, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, ToolRun))

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Note))

    @property
    def latencies(self) -> tuple[Latency, ...]:
        return tuple(turn.latency for turn in self.turns if turn.latency is not None)

    @property
    def cost(self) -> float | None:
        """Of the whole call; None where it is not known (no use, or a model without a price)."""
        costs = [row.cost for row in self.use]
        return sum(cost or 0.0 for cost in costs) if costs and None not in costs else None


def build(
    call: CallRow,
    events: Sequence[EventRow],
    waves: Iterable[WaveRow] = (),
    use: Iterable[UseRow] = (),
    prices: PriceTable | None = None,
) -> Timeline:
    """The timeline of ``call``. Events of unknown names become notes; fields that are missing are done without."""
    heads = {name: _first(events, name) for name in ("call.started", "call.ended")}
    drawn = _waves(waves)
    last = max([event.at for event in events], default=call.began)
    over = call.ended if call.ended is not None else last
    tools = _tools(call.began, events)
    turns = _turns(call.began, events, tools, drawn)
    entries: list[Entry] = [*turns, *tools, *_notes(call.began, events)]
    return Timeline(
        call,
        heads["call.started"],
        heads["call.ended"],
        max(over - call.began, *(len(peaks) * _BLOCK_S for peaks in drawn.values()), 0.0),
        tuple(sorted(entries, key=lambda entry: entry.at_s)),
        tuple(row if prices is None else row.priced(prices) for row in use),
        prices.currency if prices is not None else "",
        drawn,
    )


def _first(events: Sequence[EventRow], name: str) -> Mapping[str, object]:
    return next((event.fields for event in events if event.name == name), {})


# -- tools --------------------------------------------------------------------------------------------


def _tools(began: float, events: Sequence[EventRow]) -> list[ToolRun]:
    runs: list[tuple[str, ToolRun]] = []
    for event in events:
        fields, at_s = event.fields, event.at - began
        tool, call_id = show(fields.get("tool", "?")), show(fields.get("call_id", ""))
        if event.name == "tool.called":
            runs.append((call_id, ToolRun(at_s, tool, None, True, arguments=show(fields.get("arguments", "")))))
        elif event.name == "tool.done":
            ms, ok = number(fields.get("ms")), fields.get("ok", True) is not False
            done = (ms, ok, show(fields.get("kind", "")), show(fields.get("output", "")))
            for n, (id_, run) in enumerate(runs):
                if run.ms is None and run.tool == tool and id_ == call_id:
                    taken = (at_s - run.at_s) * 1000 if ms is None else ms
                    runs[n] = id_, replace(run, ms=taken, ok=ok, kind=done[2], output=done[3])
                    break
            else:
                runs.append((call_id, ToolRun(at_s - (ms or 0.0) / 1000, tool, ms, *done[1:3], output=done[3])))
    return [run for _, run in runs]


# -- turns --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Answer:
    """An answer's first frame."""

    at_s: float
    speech_end_s: float
    latency: Latency
    item: str
    taken: bool = False
    caller_taken: bool = False


def _turns(
    began: float, events: Sequence[EventRow], tools: Sequence[ToolRun], waves: Mapping[str, bytes]
) -> list[Turn]:
    answers = [_answer(event, event.at - began, tools) for event in events if event.name == "turn.answered"]
    cut = {show(e.fields.get("item", "")): e for e in events if e.name == "turn.interrupted"}
    turns: list[Turn] = []
    for event in events:
        at_s, item, text = event.at - began, show(event.fields.get("item", "")), show(event.fields.get("said", ""))
        if event.name == "turn.caller":
            turns.append(_caller_turn(at_s, item, text, answers, waves.get("caller", b"")))
        elif event.name == "turn.agent":
            turns.append(_agent_turn(at_s, item, text, answers, cut.pop(item, None)))
    # Cut off before its words were known, or said by somebody whose words never came.
    for item, event in cut.items():
        turns.append(_agent_turn(event.at - began, item, "", answers, event))
    for answer in answers:
        if not answer.taken:
            turns.append(Turn(answer.at_s, answer.at_s, "agent", "", answer.item, answer.latency))
    turns.sort(key=lambda turn: turn.at_s)
    return _with_ends(turns, waves.get("agent", b""))


def _answer(event: EventRow, at_s: float, tools: Sequence[ToolRun]) -> _Answer:
    response, detection, model, ours = (
        number(event.fields.get(f"{part}_ms")) or 0.0 for part in ("response", "detection", "model", "ours")
    )
    noticed_s, arrived_s = at_s - (model + ours) / 1000, at_s - ours / 1000
    meanwhile = [
        (1000 * (min(arrived_s, run.at_s + run.ms / 1000) - max(noticed_s, run.at_s)), run.tool)
        for run in tools
        if run.ms is not None
    ]
    # Several at once take as long as the longest of them.
    in_tools, tool = max(meanwhile, default=(0.0, ""))
    in_tools = max(0.0, in_tools)
    latency = Latency(response, detection, max(0.0, model - in_tools), in_tools, ours)
    latency = replace(latency, why=_why(latency, tool))
    return _Answer(at_s, at_s - response / 1000, latency, show(event.fields.get("item", "")))


def _why(latency: Latency, tool: str) -> str:
    if latency.response_ms < SLOW_MS:
        return ""
    part, ms = max(latency.parts, key=lambda part: part[1])
    match part:
        case "detection":
            return f"turn detection waited {ms:.0f} ms before it took the caller's turn for ended"
        case "tools":
            return f"the tool {tool} took {ms:.0f} ms"
        case "model":
            return f"the model took {ms:.0f} ms to begin its answer"
    return f"the service took {ms:.0f} ms to play what it had: is the machine overloaded?"


def _caller_turn(at_s: float, item: str, text: str, answers: Sequence[_Answer], peaks: bytes) -> Turn:
    end_s = at_s
    for answer in reversed(answers):
        if not answer.caller_taken and at_s - _LATE_WORDS_S < answer.speech_end_s <= at_s + 0.05:
            answer.caller_taken = True
            end_s = answer.speech_end_s
            break
    return Turn(_stretch_start(peaks, end_s), end_s, "caller", text, item)


def _agent_turn(at_s: float, item: str, text: str, answers: Sequence[_Answer], cut: EventRow | None) -> Turn:
    answer = next((a for a in answers if item and a.item == item and not a.taken), None)
    if answer is None:
        # Without its item: the last that began before the words were complete.
        before = [a for a in answers if not a.item and not a.taken and a.at_s <= at_s + 0.5]
        answer = before[-1] if before else None
    turn = Turn(at_s, at_s, "agent", text, item)
    if answer is not None:
        answer.taken = True
        turn = replace(turn, at_s=answer.at_s, end_s=answer.at_s, latency=answer.latency)
    if cut is None:
        return turn
    heard, dropped = number(cut.fields.get("heard_ms")) or 0.0, number(cut.fields.get("dropped_ms")) or 0.0
    known = cut.fields.get("heard")
    words = known if isinstance(known, str) else heard_words(text, heard, dropped)
    return replace(turn, heard_ms=heard, dropped_ms=dropped, heard_text=words)


def heard_words(text: str, heard_ms: float, dropped_ms: float) -> str:
    """The beginning of ``text`` that was heard, taking every character to last as long as any other."""
    total = heard_ms + dropped_ms
    share = heard_ms / total if total > 0 else 0.0
    reached, words = share * len(text), []
    at = 0
    for word in text.split():
        at = text.index(word, at) + len(word)
        if at > reached + len(word) / 2:
            break
        words.append(word)
    return " ".join(words)


def _with_ends(turns: Sequence[Turn], peaks: bytes) -> list[Turn]:
    """The agent's turns with where they ended: what the wave shows, until the next one began."""
    agent = [turn for turn in turns if turn.side == "agent"]
    ends: dict[int, float] = {}
    for n, turn in enumerate(agent):
        limit_s = agent[n + 1].at_s if n + 1 < len(agent) else len(peaks) * _BLOCK_S
        shown_s = _loud_until(peaks, turn.at_s, limit_s)
        # Interrupted: as long as was heard of it, whatever the wave was taken from.
        ends[id(turn)] = turn.at_s + turn.heard_ms / 1000 if turn.heard_ms else shown_s
    return [replace(turn, end_s=ends[id(turn)]) if id(turn) in ends else turn for turn in turns]


# -- waves --------------------------------------------------------------------------------------------


def _waves(rows: Iterable[WaveRow]) -> dict[str, bytes]:
    """Each side's pieces laid on one axis; what is missing between them is silence."""
    sides: dict[str, bytearray] = {}
    for row in rows:
        side = sides.setdefault(row.side, bytearray())
        start = max(0, round(row.start_s / _BLOCK_S))
        if start > 24 * 3600 / _BLOCK_S:
            continue  # no call is that long: not worth the memory
        side.extend(bytes(max(0, start + len(row.peaks) - len(side))))
        side[start : start + len(row.peaks)] = row.peaks
    return {name: bytes(side) for name, side in sides.items()}


def _loud(peak: int) -> bool:
    return decibels(peak) > _LOUD_DB


def _stretch_start(peaks: bytes, end_s: float) -> float:
    """Where the stretch of speech that ends at ``end_s`` began; there itself, when none does."""
    start = end = min(round(end_s / _BLOCK_S), len(peaks))
    pause = round(_PAUSE_S / _BLOCK_S)
    for n in range(end - 1, -1, -1):
        if _loud(peaks[n]):
            start = n
        elif start - n > pause:
            break
    return start * _BLOCK_S if start < end else end_s


def _loud_until(peaks: bytes, start_s: float, limit_s: float) -> float:
    for n in range(min(round(limit_s / _BLOCK_S), len(peaks)) - 1, round(start_s / _BLOCK_S) - 1, -1):
        if n >= 0 and _loud(peaks[n]):
            return max(start_s, (n + 1) * _BLOCK_S)
    return start_s


# -- the rest -----------------------------------------------------------------------------------------


def _notes(began: float, events: Sequence[EventRow]) -> list[Note]:
    notes: list[Note] = []
    known = {"turn.caller", "turn.agent", "turn.answered", "turn.interrupted", "tool.called", "tool.done", *_QUIET}
    for event in events:
        name = event.name
        if name in known:
            continue
        kind = "event"
        if name.endswith(_FAULTS) or ".not_" in name or event.fields.get("ok") is False:
            kind = "error"
        elif ".gap" in name or "underrun" in name:
            kind = "gap"
        notes.append(Note(event.at - began, name, event.fields, kind))
    return notes


def number(value: object) -> float | None:
    """``value`` if it is a number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def show(value: object) -> str:
    """A field's value as text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
