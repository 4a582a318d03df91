"""A bundle's contents: no secret in any writing, and without leave neither words nor numbers."""

import ast
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

import ariagent
from ariagent.check.discretion import FREE, NUMBERS, SHOWN, WORDS, Discretion
from ariagent.config import Settings
from ariagent.records.events import KINDS, private_fields, word_fields
from ariagent.redaction import HIDDEN
from tests.parsing import parsed

KEY = "a-key-of-the-site"
discreet = Discretion([KEY, "abcd"])
open_hearted = Discretion([KEY, "abcd"], words=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"refused {KEY}", "refused ***"),
        ("refused abcd", "refused ***"),
        ("wss://user:pass@model.example/v1", "wss://***@model.example/v1"),
        ("https://h.example/x?key=123&model=gpt&n={number}", "https://h.example/x?key=***&model=gpt&n={number}"),
        ("Authorization: Bearer abc.def-ghi_jkl", "Authorization: Bearer ***"),
        ("Incorrect API key provided: sk-proj-12345678", "Incorrect API key provided: sk-***"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_with_words_too(text: str, shown: str) -> None:
    assert discreet.text(text) == shown
    assert open_hearted.text(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PJSIP/4930123456-00000001 left", "PJSIP/(number) left"),
        ("+49 (30) 123-4567 rang", "(number) rang"),
        ("call 030/1234567.", "call (number)."),
        ("extension 1001 of queue 600", "extension 1001 of queue 600"),
        ("call 1795357064.12 ended", "call 1795357064.12 ended"),
        ("AudioSocket/127.0.0.1:43733-12345678-c4ef-41bd-99e2-669122a422e5", None),
        ("Local/01@ariagent-seat-00000001;2", None),
        ("on 2026-11-29 at 12:00:00", None),
        ("2026-11-29T12:00:00.123Z", None),
        ("22.10.1~dfsg+~cs6.17.60671434-1", None),
    ],
)
def test_telephone_numbers_are_hidden_and_other_numbers_are_not(text: str, shown: str | None) -> None:
    assert discreet.text(text) == (text if shown is None else shown)
    assert open_hearted.text(text) == text


def test_fields_are_shown_by_their_names() -> None:
    fields = {
        "agent": "default",
        "caller": "Alice",
        "said": "my card is 4111",
        "arguments": {"number": "4711"},
        "something_new": "a secret of the caller's",
        "response_ms": 123.4,
        "ok": True,
        "cause": f"HTTP 500 for +4930123456 with {KEY}",
        "nothing": None,
    }
    assert discreet.fields(fields) == {
        "agent": "default",
        "caller": "(number)",
        "said": "(15 characters)",
        "arguments": f"({len(json.dumps(fields['arguments']))} characters)",
        "something_new": "(24 characters)",
        "response_ms": 123.4,
        "ok": True,
        "cause": "HTTP 500 for (number) with ***",
        "nothing": None,
    }
    shown = open_hearted.fields(fields)
    assert (shown["caller"], shown["said"]) == ("Alice", "my card is 4111")
    assert shown["cause"] == "HTTP 500 for +4930123456 with ***"


def test_a_line_of_the_log_keeps_its_shape() -> None:
    line = (
        "2026-01-31T12:00:00.123+01:00 INFO call.started call=1795357064.12 caller=+4930123456 agent=default "
        'said="I am \\"ill\\"" cause="a b"'
    )
    assert discreet.line(line) == (
        '2026-01-31T12:00:00.123+01:00 INFO call.started call=1795357064.12 caller="(number)" agent=default '
        'said="(10 characters)" cause="a b"'
    )
    assert open_hearted.line(line) == line


def test_a_json_line_stays_json() -> None:
    line = json.dumps({"time": "2026-01-31T11:00:00.123Z", "event": "turn.caller", "said": "hello", "count": 3})
    assert json.loads(discreet.line(line)) == {
        "time": "2026-01-31T11:00:00.123Z",
        "event": "turn.caller",
        "said": "(5 characters)",
        "count": 3,
    }


@given(st.text(max_size=80) | st.from_regex(r'\{?2026-01-31T12:00:00 INFO a.b( [a-z]+=("[^"]*"|[^ "]*)){0,3}'))
def test_any_line_is_taken_and_no_secret_comes_through(line: str) -> None:
    assert KEY not in discreet.line(f"{line} {KEY}")
    assert KEY not in discreet.line(f"{line}{KEY}{line}")


def test_settings_show_no_secret_and_no_prose() -> None:
    settings = Settings.model_validate(
        {
            "asterisk": {"password": "abcd"},
            "realtime": {"url": "wss://model.example/v1/realtime?token=xyz", "headers": {"X-Site": "north-key"}},
            "agents": {"default": {"instructions": "You sell bicycles.", "voice": "cedar"}},
            "control": {"tokens": [{"name": "anna", "role": "admin", "sha256": "0" * 64}]},
            "routes": [{"agent": "default", "dialled": "+4930123456"}],
        }
    )
    shown = discreet.settings(settings)
    assert json.loads(json.dumps(shown)) == shown
    assert shown["asterisk"]["password"] == HIDDEN
    assert shown["realtime"]["api_key"] == ""
    assert shown["realtime"]["headers"] == {"X-Site": HIDDEN}
    assert shown["realtime"]["url"] == "wss://model.example/v1/realtime?token=***"
    assert shown["agents"]["default"]["instructions"] == "(18 characters)"
    assert shown["agents"]["default"]["voice"] == "cedar"
    assert shown["control"]["tokens"][0] == {"name": "anna", "role": "admin", "sha256": HIDDEN, "token": None}
    assert shown["routes"][0]["dialled"] == "(number)"
    assert Discretion([], words=True).settings(settings)["agents"]["default"]["instructions"] == "You sell bicycles."


def test_a_secret_anywhere_in_the_settings_is_hidden_by_its_type() -> None:
    assert discreet.settings({"deep": [{"er": SecretStr("x")}]}) == {"deep": [{"er": HIDDEN}]}


EVENTS = ("_warn", "_fields", "_count_refusal", "_refuse")
"""Functions whose keyword arguments are an event's fields."""
CALL_FIELDS = [(kind, field) for kind in KINDS.values() for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
"""The fields of every event of a call, with the event's type."""


def logged_fields() -> set[str]:
    """The names of fields that the service's own modules give to its log and its records: texts of the events of calls,
    and others as their source has them."""
    found = {field.name for _, field in CALL_FIELDS if field.type in (str, str | None)}
    root = Path(ariagent.__file__).parent
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] == "sandbox":
            continue
        for node in ast.walk(parsed(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in EVENTS:
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "fields" and isinstance(value, ast.Dict):
                        found |= {str(each.value) for each in value.keys if isinstance(each, ast.Constant)}
    return found


NUMERIC = {
    *("after_s", "audio_ms", "bridges", "calls", "channels", "characters", "control_port", "days_left", "dropped"),
    *("erases_words", "files", "holds", "http_port", "length", "lost_s", "p95_ms", "paused", "phrases", "pid"),
    *("queued", "retry_s", "rows", "seats", "took_ms", "transcribes", "tries", "unlogged", "unused_days", "words"),
}
"""Numbers and truth values outside the events of calls, which are shown."""


def test_every_field_that_is_logged_is_known_here() -> None:
    fields = logged_fields()
    assert {"agent", "cause", "caller", "peer", "seats"} <= fields
    unknown = fields - WORDS - NUMBERS - FREE - SHOWN - NUMERIC
    assert unknown == set(), "say in ariagent/check/discretion.py whether a bundle may show them"
    assert not (WORDS | NUMBERS) & (FREE | SHOWN)


def test_what_a_call_event_calls_words_or_private_is_hidden() -> None:
    words = {name for kind, _ in CALL_FIELDS for name in word_fields(kind)}
    private = {name for kind, _ in CALL_FIELDS for name in private_fields(kind)}
    assert {"said", "arguments", "number"} <= words | private
    assert words <= WORDS
    assert private <= WORDS | NUMBERS
