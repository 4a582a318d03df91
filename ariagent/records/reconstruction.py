"""Reconstructs a call from its events: each turn with its words, its latency and its place in time; each tool. CORE.

The journal's events come in the order in which we learned of things: a caller's words arrive after the answer to them,
an answer's latency before its words, an interruption before or after the words that it cut off.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ariagent.audio.peaks import BLOCK_MS, decibels
from ariagent.records.entries import Latency, ToolRun, Turn
from ariagent.records.events import (
    AgentInterrupted,
    AgentTurn,
    AgentTurnBegan,
    AnswerBegan,
    BuiltinToolUsed,
    CallerTurn,
    CallerTurnEnded,
    ToolCalled,
    ToolEnded,
)
from ariagent.records.model import EventRow, WaveRow, of_kind

SLOW_MS = 1000.0
"""An answer that the caller waits longer for is called slow, and explained."""
BLOCK_S = BLOCK_MS / 1000

_LOUD_DB = -40.0
_PAUSE_S = 0.8
"""Speech with shorter pauses is one stretch."""
_LATE_WORDS_S = 15.0
"""The transcription of what was said earlier than that is of something else."""
_SAME_S = 0.15
_SURE_S = 3.0
"""Longest time in seconds until an interruption is known to be one."""


# -- tools --------------------------------------------------------------------------------------------


def tools(began: float, events: Sequence[EventRow]) -> list[ToolRun]:
    """The tools that the model called, in order."""
    runs: list[tuple[str, ToolRun]] = []
    for row in events:
        at_s = row.at - began
        match row.event:
            case ToolCalled() as called:
                runs.append((called.id, ToolRun(at_s, called.tool, None, True, arguments=called.arguments)))
            case BuiltinToolUsed(tool=tool):
                # A tool of ariagent's own need not come back.
                if n := _open_run(runs, tool, None):
                    runs[n - 1] = runs[n - 1][0], replace(runs[n - 1][1], own=True)
            case ToolEnded() as ended:
                n = _open_run(runs, ended.tool, ended.id)
                if not n:
                    runs.append((ended.id, ToolRun(at_s - (ended.ms or 0.0) / 1000, ended.tool, None, True)))
                    n = len(runs)
                run = runs[n - 1][1]
                ms = (at_s - run.at_s) * 1000 if ended.ms is None else ended.ms
                runs[n - 1] = ended.id, replace(run, ms=ms, ok=ended.ok, kind=ended.kind, output=ended.output)
    return [run for _, run in runs]


def _open_run(runs: Sequence[tuple[str, ToolRun]], name: str, call_id: str | None) -> int:
    """The number, from 1, of the first run that has not come back; 0: there is none."""
    for n, (id_, run) in enumerate(runs, 1):
        if run.ms is None and not (run.own and call_id is None) and run.tool == name and call_id in (None, id_):
            return n
    return 0


# -- turns --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Answer:
    """An answer's first frame."""

    at_s: float
    speech_end_s: float
    noticed_s: float
    latency: Latency
    item: str
    taken: bool = False
    caller_taken: bool = False


@dataclass(frozen=True, slots=True)
class _Cut:
    """An interruption, and when it was sure."""

    at_s: float
    event: AgentInterrupted


@dataclass(frozen=True, slots=True)
class _End:
    """The reported end of a caller's turn."""

    at_s: float
    seconds: float
    """Length of the turn."""


def turns(began: float, events: Sequence[EventRow], tools: Sequence[ToolRun], waves: Mapping[str, bytes]) -> list[Turn]:
    """The turns of both sides, in the order in which they began to be heard."""
    answers = [_answer(answer, at - began, tools) for at, answer in of_kind(AnswerBegan, events)]
    cuts = {cut.item: _Cut(at - began, cut) for at, cut in of_kind(AgentInterrupted, events)}
    ends = {end.item: _End(at - began - end.ago_ms / 1000, end.seconds) for at, end in of_kind(CallerTurnEnded, events)}
    starts = {start.item: at - began for at, start in of_kind(AgentTurnBegan, events)}
    heard, spoken = waves.get("caller", b""), waves.get("agent", b"")
    found: list[Turn] = []
    for row in events:
        at_s = row.at - began
        match row.event:
            case CallerTurn(item=item, said=said):
                found.append(
                    _caller_turn(Turn(at_s, at_s, "caller", said or "", item), ends.pop(item, None), answers, heard)
                )
            case AgentTurn(item=item, said=said):
                turn = Turn(at_s, at_s, "agent", said, item)
                found.append(_agent_turn(turn, starts.get(item), cuts.pop(item, None), answers, spoken))
    # Turns without words, or whose words have not come yet.
    for item, end in ends.items():
        found.append(_caller_turn(Turn(end.at_s, end.at_s, "caller", "", item), end, answers, heard))
    for item, cut in cuts.items():
        found.append(_agent_turn(Turn(cut.at_s, cut.at_s, "agent", "", item), starts.get(item), cut, answers, spoken))
    for answer in answers:
        if not answer.taken:
            found.append(Turn(answer.at_s, answer.at_s, "agent", "", answer.item, answer.latency))
    found.sort(key=lambda turn: turn.at_s)
    return _with_ends(found, spoken)


def _answer(event: AnswerBegan, at_s: float, tools: Sequence[ToolRun]) -> _Answer:
    response, detection, model, service = event.response_ms, event.detection_ms, event.model_ms, event.service_ms
    arrived_s = at_s - (event.held_ms + service) / 1000
    noticed_s = arrived_s - model / 1000
    meanwhile = [
        (1000 * (min(arrived_s, run.at_s + run.ms / 1000) - max(noticed_s, run.at_s)), run.tool)
        for run in tools
        if run.ms is not None
    ]
    # Several at once take as long as the longest of them.
    in_tools, tool = max(meanwhile, default=(0.0, ""))
    in_tools = max(0.0, in_tools)
    latency = Latency(response, detection, max(0.0, model - in_tools), in_tools, service, event.held_ms)
    latency = replace(latency, why=_why(latency, tool))
    return _Answer(at_s, at_s - response / 1000, noticed_s, latency, event.item)


def _why(latency: Latency, tool: str) -> str:
    if latency.response_ms < SLOW_MS:
        return ""
    part, ms = max(latency.parts, key=lambda part: part[1])
    match part:
        case "detection":
            return f"turn detection waited {ms:.0f} ms before it took the caller's turn for ended"
        case "tools":
            return f"the tool {tool} took {ms:.0f} ms"
        case "held":
            return f"ariagent held the answer for {ms:.0f} ms until it knew that the caller's turn was over"
        case "model":
            return f"the model took {ms:.0f} ms to begin its answer"
    return (
        f"the service took {ms:.0f} ms to play its audio: an earlier reply or a tool's waiting prompt was still "
        "being played, or the machine is overloaded"
    )


def _caller_turn(turn: Turn, ended: _End | None, answers: Sequence[_Answer], peaks: bytes) -> Turn:
    """``turn`` with its place in time, which so far is that of its words."""
    at_s = turn.at_s
    if ended is not None:
        # The model's report of its end is the one that the answer's latency was counted from.
        end_s = ended.at_s
        same = [a for a in answers if abs(a.noticed_s - end_s) < _SAME_S]
    else:
        end_s = at_s
        same = [a for a in answers if not a.caller_taken and at_s - _LATE_WORDS_S < a.speech_end_s <= at_s + 0.05]
    if same:
        same[-1].caller_taken = True
        end_s = same[-1].speech_end_s
    start_s = _stretch_start(peaks, end_s)
    if ended is not None and start_s == end_s:
        start_s = max(0.0, end_s - ended.seconds)
    return replace(turn, at_s=start_s, end_s=end_s)


def _agent_turn(turn: Turn, start_s: float | None, cut: _Cut | None, answers: Sequence[_Answer], peaks: bytes) -> Turn:
    """``turn`` with its place in time, which so far is that of its words, and with what was heard of it."""
    at_s, item, text = turn.at_s, turn.item, turn.text
    answer = next((a for a in answers if item and a.item == item and not a.taken), None)
    if answer is None:
        # Without its item: the last that began before the words were complete.
        before = [a for a in answers if not a.item and not a.taken and a.at_s <= at_s + 0.5]
        answer = before[-1] if before else None
    heard, dropped = (cut.event.heard_ms, cut.event.dropped_ms) if cut is not None else (0.0, 0.0)
    if answer is not None:
        answer.taken = True
        turn = replace(turn, at_s=answer.at_s, end_s=answer.at_s, latency=answer.latency)
    elif start_s is not None:
        turn = replace(turn, at_s=start_s)
    elif cut is not None:
        turn = replace(turn, at_s=_silent_since(peaks, cut.at_s) - heard / 1000)
    else:
        # The words are complete somewhere in the middle of being said.
        turn = replace(turn, at_s=_stretch_start(peaks, at_s))
    if cut is None:
        return turn
    return replace(turn, heard_ms=heard, dropped_ms=dropped, heard_text=heard_words(text, heard, dropped))


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
        limit_s = agent[n + 1].at_s if n + 1 < len(agent) else len(peaks) * BLOCK_S
        shown_s = _loud_until(peaks, turn.at_s, limit_s)
        # Interrupted: as long as was heard of it.
        ends[id(turn)] = turn.at_s + turn.heard_ms / 1000 if turn.heard_ms else shown_s
    return [replace(turn, end_s=ends[id(turn)]) if id(turn) in ends else turn for turn in turns]


# -- waves --------------------------------------------------------------------------------------------


def waves(rows: Iterable[WaveRow]) -> dict[str, bytes]:
    """Each side's pieces laid on one axis; what is missing between them is silence."""
    sides: dict[str, bytearray] = {}
    for row in rows:
        side = sides.setdefault(row.side, bytearray())
        start = max(0, round(row.start_s / BLOCK_S))
        if start > 24 * 3600 / BLOCK_S:
            continue  # no call is that long: not worth the memory
        side.extend(bytes(max(0, start + len(row.peaks) - len(side))))
        side[start : start + len(row.peaks)] = row.peaks
    return {name: bytes(side) for name, side in sides.items()}


def _loud(peak: int) -> bool:
    return decibels(peak) > _LOUD_DB


def _stretch_start(peaks: bytes, end_s: float) -> float:
    """Where the stretch of speech that ends at ``end_s`` began; there itself, when none does."""
    start = end = min(round(end_s / BLOCK_S), len(peaks))
    pause = round(_PAUSE_S / BLOCK_S)
    for n in range(end - 1, -1, -1):
        if _loud(peaks[n]):
            start = n
        elif start - n > pause:
            break
    return start * BLOCK_S if start < end else end_s


def _silent_since(peaks: bytes, at_s: float) -> float:
    """Where the last loud block before ``at_s`` ended: an interruption is sure only some time after the silence."""
    last = min(round(at_s / BLOCK_S), len(peaks)) - 1
    for n in range(last, max(-1, last - round(_SURE_S / BLOCK_S)), -1):
        if _loud(peaks[n]):
            return (n + 1) * BLOCK_S
    return at_s


def _loud_until(peaks: bytes, start_s: float, limit_s: float) -> float:
    """Where the stretch of speech that begins at ``start_s`` or soon after ended, at the latest ``limit_s``."""
    end, first = 0, round(start_s / BLOCK_S)
    for n in range(first, min(round(limit_s / BLOCK_S), len(peaks))):
        if _loud(peaks[n]):
            end = n + 1
        elif n - max(end, first) > _PAUSE_S / BLOCK_S:
            break
    return max(start_s, end * BLOCK_S)
