"""Both sides of a call drawn over time, as SVG: strips of half a minute, one under the other, so that it also prints.

Above the axis the caller, below it the agent; under that who spoke when, how each answer's wait was made up, tools,
interruptions, errors and gaps. CORE.
"""

from collections.abc import Iterable
from html import escape

from ariagent.audio.peaks import BLOCK_MS
from ariagent.records import views
from ariagent.records.entries import Note, ToolRun, Turn
from ariagent.records.timeline import Timeline

WIDTH = 1200
AXIS_Y = 62
WAVE_H = 52
LANES = {"caller": 128, "agent": 146}
LANE_H = 14
TOOL_Y = 166
HEIGHT = 186
MAX_STRIPS = 240
"""Two hours; of a longer call the rest is not drawn."""

_BLOCK_S = BLOCK_MS / 1000
_LENGTHS_S = (10, 15, 20, 30, 45)
_LONG_S = 30
"""The strips of a call that does not fit into one."""


def render(line: Timeline) -> str:
    """All strips of the call."""
    length_s = next((n for n in _LENGTHS_S if line.duration_s <= n), _LONG_S)
    count = min(max(1, -(-int(line.duration_s * 1000) // (length_s * 1000))), MAX_STRIPS)
    return "".join(_Strip(line, n * length_s, length_s).svg() for n in range(count))


class _Strip:
    """``length_s`` seconds of a call from ``start_s`` on."""

    def __init__(self, line: Timeline, start_s: float, length_s: float) -> None:
        self._line = line
        self._start = start_s
        self._length = length_s

    def svg(self) -> str:
        label = f"Audio from {views.clock(self._start)} to {views.clock(self._start + self._length)}"
        parts = (
            *self._grid(),
            self._wave("caller", -1),
            self._wave("agent", 1),
            f'<line class="axis" x1="0" x2="{WIDTH}" y1="{AXIS_Y}" y2="{AXIS_Y}"/>',
            *self._turns(),
            *self._tools(),
            *self._marks(),
        )
        box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label, quote=True)}"'
        return f"<svg {box}>{''.join(parts)}</svg>"

    def _x(self, at_s: float) -> float:
        return min(max((at_s - self._start) / self._length, 0.0), 1.0) * WIDTH

    def _here(self, from_s: float, to_s: float) -> bool:
        return to_s >= self._start and from_s < self._start + self._length

    def _grid(self) -> Iterable[str]:
        step = 1 if self._length <= 15 else 2 if self._length <= 30 else 5
        for second in range(0, int(self._length), step):
            x = self._x(self._start + second)
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{HEIGHT - 2}"/>'
            minutes, seconds = divmod(int(self._start) + second, 60)
            yield f'<text class="tick" x="{x + 3:.1f}" y="{HEIGHT - 4}">{minutes}:{seconds:02d}</text>'

    def _wave(self, side: str, direction: int) -> str:
        first = round(self._start / _BLOCK_S)
        peaks = self._line.waves.get(side, b"")[first : first + round(self._length / _BLOCK_S)]
        step = WIDTH * _BLOCK_S / self._length
        path, drawing = [], False
        for n, peak in enumerate([*peaks, 0]):
            if peak:
                start = "" if drawing else f"M{n * step:.1f} {AXIS_Y}"
                path.append(f"{start}V{AXIS_Y + direction * peak / 255 * WAVE_H:.1f}h{step:.2f}")
            elif drawing:
                path.append(f"V{AXIS_Y}z")
            drawing = bool(peak)
        return f'<path class="wave {side}" d="{"".join(path)}"/>'

    def _box(self, kind: str, from_s: float, to_s: float, y: float, title: str, entry: int, h: float = LANE_H) -> str:
        x = self._x(from_s)
        width = max(self._x(to_s) - x, 2.0)
        return (
            f'<a href="#e{entry}"><rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{h}" rx="2">'
            f"<title>{_title(title)}</title></rect></a>"
        )

    def _turns(self) -> Iterable[str]:
        for n, turn in enumerate(self._line.entries):
            if not isinstance(turn, Turn):
                continue
            kind = "caller" if turn.side == "caller" else "agent"
            y = LANES[kind]
            if self._here(turn.at_s, turn.end_s):
                yield self._box(f"block {kind}", turn.at_s, turn.end_s, y, f"{kind}: {turn.text}", n)
            unheard_s = turn.end_s + turn.dropped_ms / 1000
            if turn.heard_ms is not None and self._here(turn.end_s, unheard_s):
                yield self._box("block unheard", turn.end_s, unheard_s, y, f"dropped: {turn.dropped_ms:.0f} ms", n)
                if self._here(turn.end_s, turn.end_s):
                    x = self._x(turn.end_s)
                    yield f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{y + LANE_H}"/>'
            yield from self._wait(n, turn, y)

    def _wait(self, n: int, turn: Turn, y: float) -> Iterable[str]:
        latency = turn.latency
        if latency is None or not self._here(turn.at_s - latency.response_ms / 1000, turn.at_s):
            return
        at_s = turn.at_s - latency.response_ms / 1000
        for name, ms in latency.parts:
            if ms > 0 and self._here(at_s, at_s + ms / 1000):
                yield self._box(f"part {name}", at_s, at_s + ms / 1000, y + 3, views.split(latency), n, LANE_H - 6)
            at_s += ms / 1000
        if self._here(turn.at_s, turn.at_s):
            slow = " slow" if latency.why else ""
            text = f"{latency.response_ms:.0f} ms"
            yield f'<text class="ms{slow}" x="{max(self._x(turn.at_s) - 3, 40):.1f}" y="{y - 22}">{text}</text>'

    def _tools(self) -> Iterable[str]:
        for n, run in enumerate(self._line.entries):
            if isinstance(run, ToolRun):
                end_s = run.at_s + (run.ms or 0.0) / 1000
                if self._here(run.at_s, end_s):
                    kind = "block tools" if run.ok else "block error"
                    took = "" if run.ms is None else f": {run.ms:.0f} ms"
                    yield self._box(kind, run.at_s, end_s, TOOL_Y, f"{run.tool}{took}", n, 6)

    def _marks(self) -> Iterable[str]:
        for n, note in enumerate(self._line.entries):
            if isinstance(note, Note) and note.kind != "event" and self._here(note.at_s, note.at_s):
                x = self._x(note.at_s)
                title = _title(f"{note.name} {note.text}")
                bar = f'<line class="mark {note.kind}" x1="{x:.1f}" x2="{x:.1f}" y1="11" y2="{AXIS_Y + WAVE_H}"/>'
                tip = f'<path class="mark {note.kind}" d="M{x:.1f} 2l5 9h-10z"><title>{title}</title></path>'
                yield f'<a href="#e{n}">{tip}{bar}</a>'


def _title(words: str) -> str:
    return escape(views.printable(words)[:200], quote=True)
