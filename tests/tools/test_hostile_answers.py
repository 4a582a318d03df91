"""A model's requests and a site's answers, whatever they are."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import HttpRequestSettings
from ariagent.tools.answer import Answer, texts, told
from ariagent.tools.request import of_tool
from ariagent.values.arguments import Parameters
from ariagent.values.outcome import ToolFailure, json_text

PARAMETERS = Parameters(
    {
        "type": "object",
        "properties": {"number": {"type": "string", "maxLength": 20}, "count": {"type": "integer"}},
        "required": ["number"],
    }
)
ORDER = HttpRequestSettings(url="https://api.example.com/orders/{number}?of=a")
PICKED = HttpRequestSettings(url="https://api.example.com/", answer={"status": "order.items.0.status"})
BOOKED = HttpRequestSettings(url="https://api.example.com/", method="POST")
TYPES = st.sampled_from(["", "application/json", "text/html", "text/html; charset=x", "text/plain"])
CHARSETS = st.sampled_from([None, "latin-1", "utf-16", "hex", "idna", "undefined", "unicode_escape", "no such", "a\0b"])
KEYS = st.text(max_size=6) | st.just("order")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_any_arguments_are_as_declared_or_refused(text: str) -> None:
    try:
        found = PARAMETERS.read(text)
    except ToolFailure:
        return
    assert set(found) <= {"number", "count"}
    assert isinstance(found["number"], str)


@given(st.text(max_size=30))
def test_an_argument_stays_in_its_place_in_the_url(number: str) -> None:
    try:
        request = of_tool(ORDER, {"number": number})
    except ToolFailure:
        return
    head, _, query = request.url.partition("?")
    assert head.startswith("https://api.example.com/orders/")
    assert head.count("/") == 4
    assert query == "of=a"
    assert request.url.isascii()
    assert request.url.isprintable()


BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.text("<!>[/a&#x", max_size=40).map(str.encode)
)


@given(BODIES, TYPES, CHARSETS)
def test_any_answer_is_json_or_a_failure(body: bytes, content_type: str, charset: str | None) -> None:
    answer = Answer(content_type, body, charset)
    assert json_text(told(BOOKED, answer)).encode()  # what was done is never told as a failure
    for settings in (ORDER, PICKED):
        try:
            json_text(told(settings, answer)).encode()
            values = texts(settings, answer)
        except ToolFailure:
            continue
        assert all(isinstance(value, str) for value in values.values())


@pytest.mark.parametrize("charset", ["punycode", "IDNA", "unicode_escape", "raw-unicode-escape"])
def test_codecs_that_are_no_character_sets_are_not_used(charset: str) -> None:
    # The first two take seconds for a megabyte, and the others make control characters of letters.
    answer = Answer("text/plain", b"-a9 \\u0041", charset)
    assert told(BOOKED, answer) == {"ok": True, "text": "-a9 \\u0041"}
