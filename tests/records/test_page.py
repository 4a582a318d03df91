"""The page: whole, from nowhere else, and nothing that was said in a call can become a part of it."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from ariagent.config import CostSettings
from ariagent.records import events as rec
from ariagent.records import page
from ariagent.records.cost import PriceTable
from ariagent.records.model import CallRow, EventRow, WaveRow
from ariagent.records.store import Store
from ariagent.records.timeline import build

BEGAN = 1_795_357_064.0
ATTACKS = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>",
    "</title></style></script><script>alert(1)</script>",
    "<!-- <a href='javascript:alert(1)'>x</a> -->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "]]><script>alert(1)</script>",
    "\0<scr\0ipt>\x1b[2J\u202e\u2028",
    "\ud83d<script>",
]  # fmt: skip


class Parsed(HTMLParser):
    """The page as a browser would see it: elements with their attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "line", "path", "rect") or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.text += data


def attacked(words: str) -> str:
    """A page in which every value that comes from outside is ``words``."""
    call = CallRow(
        1, words, 1, BEGAN, BEGAN, BEGAN + 9, "ended", words, words, words, words, words, "caller", words, 0
    )  # fmt: skip
    names = (
        *("call.started", "turn.caller", "turn.agent", "turn.interrupted", "turn.answered", "tool.called", "tool.done"),
        *("model.refused", "caller_audio.gap", "x.new", "call.ended", "usage", words),
    )
    keys = (
        *("agent", "caller", "said", "item", "tool", "id", "arguments", "output", "kind", "cause", "message", words),
        *("leg", "seat", "code", "model", "result", "reason"),
    )
    fields: dict[str, object] = dict.fromkeys(keys, words)
    answer = {"response_ms": 3000, "detection_ms": 90, "model_ms": 2900, "service_ms": 10}
    numbers = {"heard_ms": 0, "dropped_ms": 500, "ms": 2000, "ok": False, **answer}
    events = [EventRow(BEGAN + n, name, {**fields, **numbers}) for n, name in enumerate(names)]
    assert [row.name for row in events if row.event is None] == ["x.new", words], "all others are understood"
    prices = PriceTable(CostSettings(currency=words))
    return page.render(build(call, events, [WaveRow("caller", 0, b"\xff" * 100)], (), prices), words, prices)


@pytest.mark.parametrize("words", ATTACKS)
def test_nothing_said_becomes_markup(words: str) -> None:
    seen, harmless = Parsed(attacked(words)), Parsed(attacked("harmless"))
    assert [tag for tag, _ in seen.elements] == [tag for tag, _ in harmless.elements]
    assert [sorted(attrs) for _, attrs in seen.elements] == [sorted(attrs) for _, attrs in harmless.elements]
    for tag, attrs in seen.elements:
        assert tag != "script"
        assert not any(name.startswith("on") for name in attrs)
        assert re.fullmatch(r"#e\d+", attrs.get("href") or "#e0")
    attacked(words).encode()
    assert not re.search(r"[\0\x1b\u202e]", seen.text)


def test_the_words_themselves_are_there() -> None:
    words = "<script>alert('1 & 2')</script>"
    assert words in Parsed(attacked(words)).text


def test_the_page_needs_nothing_from_elsewhere(store: Store, sample: Callable[..., str]) -> None:
    call = store.find(sample())
    html = page.render(build(call, store.events(call), store.waves(call), store.use(call)), "then")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|src=|<link|<script|<iframe", html)
    assert "default-src &#x27;none&#x27;" in html or "default-src 'none'" in html


def test_every_turn_has_a_block_under_the_wave_that_leads_to_it(store: Store, sample: Callable[..., str]) -> None:
    call = store.find(sample())
    line = build(call, store.events(call), store.waves(call), store.use(call))
    seen = Parsed(page.render(line, "then"))
    ids = {attrs["id"] for _, attrs in seen.elements if "id" in attrs}
    links = {attrs["href"] for _, attrs in seen.elements if "href" in attrs}
    assert links <= {f"#{id_}" for id_ in ids}
    turns = {f"#e{n}" for n, entry in enumerate(line.entries) if entry in line.turns or entry in line.tools}
    assert turns <= links


def test_a_tool_that_need_not_come_back_has_no_time_and_a_sign_has_a_mark() -> None:
    events = [
        EventRow.of(BEGAN + 1, rec.ToolCalled("end_call", "c")),
        EventRow.of(BEGAN + 1, rec.BuiltinToolUsed("end_call")),
        EventRow.of(BEGAN + 2, rec.WaitingPromptPlayed("One moment.")),
    ]
    call = CallRow(1, "17.1", 1, BEGAN, BEGAN, BEGAN + 9, "ended", "a", "", "", "done", "", "", "", 0)
    html = page.render(build(call, events), "then")
    assert "<title>end_call</title>" in html
    assert "0 ms" not in html
    assert '<path class="mark waiting_prompt"' in html
    assert "prompt: One moment." in html


def test_a_slow_answer_of_ours_is_explained_in_one_sentence() -> None:
    answer = rec.AnswerBegan("i", 2510.0, 200.0, 300.0, 2010.0)
    call = CallRow(1, "17.1", 1, BEGAN, BEGAN, BEGAN + 9, "ended", "a", "", "", "done", "", "", "", 0)
    html = page.render(build(call, [EventRow.of(BEGAN + 5, answer)]), "then")
    assert re.search(r"or the machine is overloaded(</bdi>)?\.</strong>", html)


@pytest.mark.parametrize(("seconds", "strips"), [(0, 1), (9, 1), (45, 1), (46, 2), (600, 20), (100_000, 240)])
def test_a_long_call_is_drawn_in_strips(seconds: int, strips: int) -> None:
    call = CallRow(
        1, "17.1", 1, BEGAN, BEGAN, BEGAN + seconds, "ended", "a", "", "", "done", "", "", "", 0
    )  # fmt: skip
    html = page.render(build(call, []), "then")
    assert html.count("<svg ") == strips


def test_a_call_of_which_nothing_is_known_has_a_page_too() -> None:
    call = CallRow(1, "17.1", 1, BEGAN, None, None, "lost", "", "", "", "", "", "", "", 3)
    seen = Parsed(page.render(build(call, []), "then"))
    assert "lost" in seen.text
    assert "Nothing was recorded" in seen.text
    assert "3 events of this call could not be recorded" in seen.text
