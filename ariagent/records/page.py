"""One call as a page of HTML that needs nothing else: no script, no picture, no font from anywhere. CORE.

Everything that a caller, the model or a tool said is text here and nothing else: escaped, its direction isolated, and
the page's own policy forbids scripts and anything from outside, should a browser ever see it otherwise.
"""

from collections.abc import Mapping, Sequence
from html import escape

from ariagent.records import strips, views
from ariagent.records.cost import PriceTable, shares
from ariagent.records.entries import Entry, Latency, Note, ToolRun, Turn
from ariagent.records.style import STYLE
from ariagent.records.timeline import Timeline

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_SHORT = 120

PARTS = {
    "detection": "turn detection",
    "model": "model",
    "tools": "tools",
    "held": "held",
    "service": "this service",
}
"""The parts of an answer's latency, as the page calls them."""


def render(line: Timeline, when: str, prices: PriceTable | None = None) -> str:
    """The page of a call; ``when`` is its beginning as a reader writes it."""
    call = line.call
    title = f"Call {call.id}"
    who = [("Agent", call.agent), ("Seat", call.seat), ("Caller", call.caller), ("Began", when)]
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{text(title)}</title>",
            f"<style>{STYLE}</style></head><body><main>",
            f"<header><h1>{text(title)}</h1>{_outcome(line)}",
            _pairs([(name, value) for name, value in who if value], "who"),
            _pairs(views.facts(line), "facts"),
            "</header>",
            _warnings(line),
            f'<section><h2>Audio</h2>{_legend()}<div class="strips">{strips.render(line)}</div></section>',
            f"<section><h2>Conversation</h2>{_entries(line.entries)}</section>",
            _cost(line, prices),
            _details(line),
            "</main></body></html>",
            "",
        )
    )


def text(value: str) -> str:
    """``value`` for any place in the page, attributes too."""
    safe = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in value)
    return escape(safe, quote=True)


def _said(value: str) -> str:
    # A right-to-left override in somebody's words ends with them.
    return f'<bdi dir="auto">{text(value)}</bdi>'


def _outcome(line: Timeline) -> str:
    call = line.call
    kind = "live" if call.live else "bad" if call.result in ("error", "no_model") or call.state == "lost" else "good"
    cause = f" {_said(line.end.cause)}" if line.end is not None and line.end.cause else ""
    return f'<p class="outcome {kind}"><b>{text(views.outcome(call))}</b>{cause}</p>'


def _pairs(pairs: Sequence[tuple[str, str]], kind: str) -> str:
    cells = "".join(f"<div><dt>{text(name)}</dt><dd>{_said(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="{kind}">{cells}</dl>'


def _warnings(line: Timeline) -> str:
    found = []
    for n, entry in enumerate(line.entries):
        why = ""
        if isinstance(entry, Turn) and entry.latency is not None and entry.latency.why:
            why = f"waited {entry.latency.response_ms:.0f} ms: {_said(entry.latency.why)}"
        elif isinstance(entry, ToolRun) and entry.slow:
            why = f"the tool {_said(entry.tool)} took {entry.ms or 0.0:.0f} ms"
        if why:
            found.append(f'<a href="#e{n}">{views.clock(entry.at_s)}</a> {why}')
    if line.call.dropped:
        found.append(f"{line.call.dropped} events of this call could not be recorded")
    if not found:
        return ""
    return f'<section class="slow"><h2>Slow</h2><ul>{"".join(f"<li>{item}</li>" for item in found)}</ul></section>'


def _legend() -> str:
    keys = [("caller", "caller"), ("agent", "agent"), ("unheard", "dropped unheard"), *PARTS.items()]
    keys += [("error", "error"), ("gap", "audio gap")]
    marks = "".join(f'<li><i class="key {kind}"></i>{text(name)}</li>' for kind, name in keys)
    return f'<ul class="legend">{marks}</ul>'


# -- the conversation ---------------------------------------------------------------------------------


def _entries(entries: Sequence[Entry]) -> str:
    if not entries:
        return "<p>Nothing was recorded of it.</p>"
    return f'<ol class="talk">{"".join(_entry(n, entry) for n, entry in enumerate(entries))}</ol>'


def _entry(n: int, entry: Entry) -> str:
    match entry:
        case Turn():
            kind, who, body = f"turn {entry.side}", entry.side, _turn(entry)
        case ToolRun():
            kind, who, body = "tool", "tool", _tool(entry)
        case Note():
            kind, who, body = f"note {entry.kind}", "" if entry.kind == "event" else entry.kind, _note(entry)
    head = f'<span class="at">{views.clock(entry.at_s)}</span><span class="side">{text(who)}</span>'
    return f'<li id="e{n}" class="{text(kind)}">{head}<div>{body}</div></li>'


def _turn(turn: Turn) -> str:
    parts = []
    if turn.latency is not None:
        parts.append(_latency(turn.latency))
    if turn.heard_ms is None:
        parts.append(f'<p class="said">{_said(turn.text or "(not transcribed)")}</p>')
    else:
        rest = turn.text.removeprefix(turn.heard_text) if turn.text.startswith(turn.heard_text) else turn.text
        unheard = f"<s>{_said(rest)}</s>" if rest else ""
        parts.append(f'<p class="said">{_said(turn.heard_text)}{unheard}</p>')
        parts.append(
            f'<p class="cut">Interrupted after {turn.heard_ms:.0f} ms; {turn.dropped_ms:.0f} ms were dropped unheard.'
            " Where in the words is an estimate.</p>"
        )
    return "".join(parts)


def _latency(latency: Latency) -> str:
    total = sum(ms for _, ms in latency.parts) or 1.0
    bars = "".join(
        f'<i class="{name}" style="width:{100 * ms / total:.2f}%"></i>' for name, ms in latency.parts if ms > 0
    )
    words = ", ".join(f"{PARTS[name]} {ms:.0f}" for name, ms in latency.parts if name not in views.RARE or ms > 0)
    why = f" <strong>Slow: {_said(latency.why)}.</strong>" if latency.why else ""
    # Longer waits are longer bars, up to three seconds.
    width = min(latency.response_ms, 3000.0) / 3000
    bar = f'<span class="wait" style="width:{6 + 18 * width:.2f}rem" aria-hidden="true">{bars}</span>'
    return f'<p class="latency">{bar}<b>{latency.response_ms:.0f} ms</b> <small>{words}</small>{why}</p>'


def _tool(run: ToolRun) -> str:
    if run.ms is None and run.own:
        took = ""
    elif run.ms is None:
        took = '<b class="bad">did not come back</b>'
    else:
        took = f'<b class="{"bad" if run.slow else ""}">{run.ms:.0f} ms</b>'
    failed = "" if run.ok else f' <b class="bad">failed{": " + _said(run.kind) if run.kind else ""}</b>'
    body = f'<p class="call"><code>{_said(run.tool)}</code> {took}{failed}</p>'
    for name, value in (("arguments", run.arguments), ("result", run.output)):
        if value:
            body += f'<p class="payload"><small>{name}</small> <code>{_said(value)}</code></p>'
    return body


def _note(note: Note) -> str:
    return f"<p><b>{_said(note.name)}</b> {_said(note.text)}</p>"


# -- the rest -----------------------------------------------------------------------------------------


def _cost(line: Timeline, prices: PriceTable | None) -> str:
    if not line.use:
        return ""
    rows = []
    for use in line.use:
        price = prices.of(use.model) if prices is not None else None
        for share in shares(use.usage, price, use.transcribed_s):
            amount = views.span(share.amount) if share.kind == "transcription" else f"{share.amount:,}"
            money = "" if share.money is None else views.amount(share.money, "")
            cells = f"<td>{_said(use.model)}</td><td>{text(share.kind.replace('_', ' '))}</td>"
            rows.append(f'<tr>{cells}<td class="n">{amount}</td><td class="n">{money}</td></tr>')
    head = f"<tr><th>Model</th><th>Kind</th><th>Tokens</th><th>{text(line.currency)}</th></tr>"
    total = "not known: a model has no price" if line.cost is None else views.amount(line.cost, "")
    foot = f'<tr><th colspan="3">Together</th><td class="n"><b>{total}</b></td></tr>'
    return (
        f"<section><h2>Use and cost</h2><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody>"
        f"<tfoot>{foot}</tfoot></table></section>"
    )


def _details(line: Timeline) -> str:
    parts = []
    for name, event in (("At the beginning", line.head), ("At the end", line.end)):
        if event is not None:
            parts.append(f"<h3>{name}</h3>{_pairs(_shown(event.to_fields()), 'details')}")
    return f"<section><h2>Details</h2>{''.join(parts)}</section>" if parts else ""


def _shown(fields: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, f"{value:.6g}" if isinstance(value, float) else str(value)) for name, value in fields.items()]
