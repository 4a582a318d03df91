"""The typed events of a call: what is written reads the same, and nothing that is stored makes reading fail."""

import dataclasses
import json
import math
import types
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ariagent.records import events
from ariagent.records.events import KINDS, CallEvent, private_fields, read, word_fields
from tests.examples import examples

ALL = sorted(KINDS.values(), key=lambda kind: kind.NAME)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {str: st.text(), int: st.integers(), float: FINITE, bool: st.booleans(), type(None): st.none()}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def fields_of(kind: type[CallEvent]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)  # type: ignore[arg-type]


def types_of(field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    return typing.get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)


def made(kind: type[CallEvent]) -> st.SearchStrategy[CallEvent]:
    """Any event of this type."""
    return st.builds(kind, **{f.name: st.one_of([VALUES[each] for each in types_of(f)]) for f in fields_of(kind)})


def stored(event: CallEvent) -> dict[str, object]:
    """An event's fields as they come back from the database."""
    found: dict[str, object] = json.loads(json.dumps(event.to_fields(), allow_nan=False))
    return found


def test_every_type_has_a_name_of_its_own_and_fields_that_json_holds() -> None:
    types_ = [
        value
        for name, value in vars(events).items()
        if isinstance(value, type) and issubclass(value, CallEvent) and value is not CallEvent and name[0] != "_"
    ]
    assert set(types_) == set(KINDS.values())
    assert len(types_) == len(KINDS) > 50
    assert {each for kind in ALL for f in fields_of(kind) for each in types_of(f)} <= set(VALUES)
    assert all(dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen for kind in ALL)


@settings(max_examples=examples(300))
@given(st.sampled_from(ALL).flatmap(made))
def test_what_is_written_reads_the_same(event: CallEvent) -> None:
    assert read(event.NAME, stored(event)) == event


@settings(max_examples=examples(300))
@given(st.sampled_from(ALL), st.data())
def test_whatever_is_stored_is_read_without_an_exception(kind: type[CallEvent], data: st.DataObject) -> None:
    """By an older version, by a newer one, or cut off."""
    keys = st.sampled_from([f.name for f in fields_of(kind)]) | st.text(max_size=3)
    found = data.draw(st.dictionaries(keys, JSON))
    event = read(kind.NAME, found)
    if event is None:
        return
    for f in fields_of(kind):
        value = getattr(event, f.name)
        known = (*types_of(f), int) if float in types_of(f) else types_of(f)
        assert type(value) in known
        assert not isinstance(value, float) or math.isfinite(value)
        assert value == found.get(f.name, f.default) or value == f.default


def test_a_missing_or_odd_optional_field_has_its_default_and_an_unknown_one_is_ignored() -> None:
    whole = {"tool": "order", "id": "c1", "ms": 12.5, "ok": False, "kind": "timeout", "output": "{}"}
    assert read("tool.done", whole) == events.ToolEnded("order", "c1", 12.5, False, "timeout", "{}")
    bare = events.ToolEnded("order", "c1")
    assert read("tool.done", {"tool": "order", "id": "c1"}) == bare
    assert read("tool.done", {"tool": "order", "id": "c1", "ms": True, "ok": 1, "kind": None, "output": 7}) == bare
    assert read("tool.done", {"tool": "order", "id": "c1", "colour": "blue"}) == bare
    assert (bare.ms, bare.ok, bare.output) == (None, True, "")


@pytest.mark.parametrize(
    "found", [{}, {"item": "i", "heard_ms": 5}, {"item": "i", "heard_ms": "5", "dropped_ms": 1}, {"item": None}]
)
def test_without_a_required_field_there_is_no_event(found: dict[str, object]) -> None:
    assert read("turn.interrupted", found) is None
    assert read("turn.interrupted", {"item": "i", "heard_ms": 5, "dropped_ms": 1.5}) is not None


def test_an_unknown_name_is_no_event() -> None:
    assert read("quite.new", {"colour": "blue"}) is None


# -- what is for whom -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.NAME)
def test_the_log_gets_every_field_but_the_private_ones(kind: type[CallEvent]) -> None:
    given: dict[str, Any] = {
        f.name: f"marked-{f.name}" if str in types_of(f) else 7 if bool not in types_of(f) else False
        for f in fields_of(kind)
    }
    event = kind(**given)
    shown = event.for_log()
    assert {name for name in given if f"marked-{name}" in repr(shown)} == {
        name for name, value in given.items() if isinstance(value, str) and name not in private_fields(kind)
    }
    assert event.to_fields() == given
    assert read(kind.NAME, stored(event)) == event


def test_words_private_fields_and_those_for_the_log() -> None:
    """A list, so that a field that changes sides is seen."""
    assert {f"{kind.NAME} {name}" for kind in ALL for name in word_fields(kind)} == {
        *(
            "turn.caller said",
            "turn.so_far said",
            "turn.agent said",
            "call.digits text",
            "message.taken text",
            "call.whispered text",
        ),
        *("tool.called arguments", "tool.done output", "call.transferred text"),
    }
    private = {f"{kind.NAME} {name}" for kind in ALL for name in private_fields(kind) - word_fields(kind)}
    assert private == {"message.taken number", "message.taken when"}
    assert {kind.NAME for kind in ALL if kind.LEVEL is None} == {
        *("call.number_withheld", "call.state", "turn.began", "turn.ended", "turn.so_far", "caller_audio.gap", "usage"),
        *("tool.called", "tool.done", "tool.waiting_prompt"),
    }


def test_what_was_said_is_in_the_log_only_where_the_site_wants_it() -> None:
    turn = events.CallerTurn("i1", "my card is 4711")
    assert turn.for_log() == {"item": "i1", "characters": 15}
    assert turn.for_log(words=True) == {"item": "i1", "said": "my card is 4711"}
    assert events.CallerTurn("i1").for_log() == {"item": "i1", "said": "(not transcribed)"}
    assert events.DigitsGiven(4, "4711").for_log(words=True) == {"count": 4}, "digits never are"


def test_texts_can_be_changed_all_of_them_or_those_that_were_said() -> None:
    event = events.ToolCalled("order", "c1", arguments='{"n": 1}')
    assert event.with_texts(str.upper) == events.ToolCalled("ORDER", "C1", arguments='{"N": 1}')
    assert event.with_texts(str.upper, only_words=True) == events.ToolCalled("order", "c1", arguments='{"N": 1}')
    untouched = events.AgentInterrupted("i", 1, 2)
    assert untouched.with_texts(lambda text: text) is untouched


def test_the_part_that_was_heard() -> None:
    assert events.AgentInterrupted("i", 250, 750).part == 0.25
    assert events.AgentInterrupted("i", 0, 0).part is None
    assert events.AgentInterrupted("i", 10, -5).part == 1.0
