"""The session core: connecting, settings, refusals, items, truncation, expiry."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ariagent.sandbox.line import Close, SendEvent
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.scenario_file import parse_scenario
from ariagent.sandbox.session import Session
from ariagent.sandbox.vad import Energy
from tests.examples import examples

SESSION_KEYS = (
    "id object type model output_modalities instructions audio tools tool_choice max_output_tokens truncation tracing"
    " prompt expires_at include"
)


def test_s1_session_created_is_first_and_has_every_key(desk: Any) -> None:
    assert desk.kinds == ["session.created"]
    session = desk.events[0]["session"]
    assert set(session) == set(SESSION_KEYS.split())
    assert session["model"] == "gpt-realtime-2.1"
    assert session["expires_at"] == 1_800_000_000 + 3600
    detection = session["audio"]["input"]["turn_detection"]
    assert detection["type"] == "server_vad"
    assert detection["idle_timeout_ms"] is None
    assert session["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "marin",
        "speed": 1.0,
    }


def test_s1_transcription_session_only_transcribes(make_desk: Any) -> None:
    desk = make_desk(transcription=True)
    assert desk.events[0]["session"]["type"] == "transcription"
    desk.hears = ["where are you"]
    desk.speak()
    desk.run()
    assert desk.last("conversation.item.input_audio_transcription.completed")["transcript"] == "where are you"
    assert not desk.of("response.created")
    desk.respond()
    assert desk.error["code"] == "invalid_value"


def test_s3_refusals_leave_the_session_open(desk: Any) -> None:
    desk.send({"type": "no.such.event", "event_id": "mine-1"})
    assert desk.error["code"] == "invalid_value"
    assert desk.error["param"] == "type"
    assert "'response.create'" in desk.error["message"]
    assert desk.error["event_id"] == "mine-1"
    for message, code in (("{", "invalid_json"), ("[]", "invalid_event"), ("{}", "missing_required_parameter")):
        desk.send(message)
        assert desk.error["code"] == code
    desk.session.receive_binary()
    desk.run(0)
    desk.send({"type": "response.cancel"})
    assert desk.error["code"] == "response_cancel_not_active"
    assert [event["error"]["code"] for event in desk.of("error")].count("invalid_event") == 2
    desk.respond()
    desk.run()
    assert desk.done["status"] == "completed"


@pytest.mark.parametrize("action", ["delete", "retrieve", "truncate"])
def test_s3_unknown_item_is_refused_by_name_of_the_action(desk: Any, action: str) -> None:
    event = {"type": f"conversation.item.{action}", "item_id": "item_none", "content_index": 0, "audio_end_ms": 0}
    desk.send(event)
    assert desk.error["code"] == f"item_{action}_invalid_item_id"


def test_s3_appends_are_checked(desk: Any) -> None:
    desk.send({"type": "input_audio_buffer.append", "audio": "not base64!"})
    assert (desk.error["code"], desk.error["param"]) == ("invalid_value", "audio")
    desk.send('{"type":"input_audio_buffer.append","audio":"%%%"}')
    assert (desk.error["code"], desk.error["param"]) == ("invalid_value", "audio")
    desk.send({"type": "input_audio_buffer.append"})
    assert desk.error["code"] == "missing_required_parameter"
    desk.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(b"odd").decode()})
    assert desk.error["code"] == "invalid_value"
    desk.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(15 * 2**20 + 2)).decode()})
    assert "15 MiB" in desk.error["message"]
    assert desk.session.hearing.appended_ms == 0


def test_s3_event_id_is_echoed_unless_the_mode_is_null(make_desk: Any) -> None:
    for faults, echoed in (("", "e7"), ("null_event_id", None)):
        desk = make_desk(faults=faults)
        desk.send({"type": "response.cancel", "event_id": "e7"})
        assert desk.error["event_id"] == echoed


def test_s4_partial_updates_merge_and_objects_are_replaced(desk: Any) -> None:
    desk.configure(instructions="Be brief.", audio={"input": {"format": {"type": "audio/pcmu"}}})
    session = desk.last("session.updated")["session"]
    assert session["instructions"] == "Be brief."
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert session["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["input"]["turn_detection"]["threshold"] == 0.5
    desk.configure(audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 700}}})
    detection = desk.last("session.updated")["session"]["audio"]["input"]["turn_detection"]
    assert (detection["silence_duration_ms"], detection["threshold"]) == (700, 0.5)
    tool = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    desk.configure(tools=[tool], output_modalities=["text"])
    desk.configure(instructions="", tools=[], audio={"input": {"turn_detection": None}})
    session = desk.last("session.updated")["session"]
    assert (session["instructions"], session["tools"]) == ("", [])
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["output_modalities"] == ["text"]


@pytest.mark.parametrize(
    ("update", "code", "param"),
    [
        ({"instructions": 3}, "invalid_type", "session.instructions"),
        ({"voice": "marin"}, "unknown_parameter", "session.voice"),
        ({"input_audio_format": "pcm16"}, "unknown_parameter", "session.input_audio_format"),
        ({"temperature": 0.8}, "unknown_parameter", "session.temperature"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "invalid_value", "session.audio.input.format.type"),
        ({"audio": {"output": {"voice": "nobody"}}}, "invalid_value", "session.audio.output.voice"),
        ({"audio": {"output": {"speed": 3}}}, "decimal_above_max_value", "session.audio.output.speed"),
        ({"max_output_tokens": 0}, "integer_below_min_value", "session.max_output_tokens"),
        ({"audio": {"input": {"turn_detection": {"threshold": 1}}}}, "missing_required_parameter", None),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
        ({"model": "gpt-realtime"}, "cannot_update_model", "session.model"),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 100}}}}, None, None),
    ],
)
def test_s4_a_refused_update_changes_nothing(desk: Any, update: Any, code: str | None, param: str | None) -> None:
    before = json.dumps(desk.session.state.settings)
    desk.configure(**{"output_modalities": ["text"], **update})
    assert code is None or desk.error["code"] == code
    assert param is None or desk.error["param"] == param
    assert not desk.of("session.updated")
    assert json.dumps(desk.session.state.settings) == before


def test_s4_session_type_is_mandatory(desk: Any) -> None:
    desk.send({"type": "session.update", "session": {"instructions": "x"}})
    assert (desk.error["code"], desk.error["param"]) == ("missing_required_parameter", "session.type")
    desk.send({"type": "session.update"})
    assert desk.error["param"] == "session"


def test_s4_reasoning_rejects_the_whole_update_on_an_older_model(make_desk: Any) -> None:
    desk = make_desk(model="gpt-realtime")
    desk.configure(reasoning={"effort": "low"}, instructions="x")
    assert desk.error["code"] == "unsupported_parameter"
    new = make_desk()
    new.configure(reasoning={"effort": "low"}, parallel_tool_calls=False)
    assert new.last("session.updated")["session"]["reasoning"] == {"effort": "low"}


def test_s6_ids_have_the_apis_prefixes_and_the_item_id_of_a_turn_is_kept(desk: Any) -> None:
    desk.hears = ["where are you"]
    desk.speak()
    desk.run()
    item_id = desk.last("input_audio_buffer.speech_started")["item_id"]
    assert item_id.startswith("item_")
    assert desk.last("input_audio_buffer.speech_stopped")["item_id"] == item_id
    assert desk.last("input_audio_buffer.committed")["item_id"] == item_id
    assert desk.of("conversation.item.added")[0]["item"]["id"] == item_id
    assert desk.done["id"].startswith("resp_")
    assert desk.done["conversation_id"].startswith("conv_")
    assert desk.events[0]["session"]["id"].startswith("sess_")
    ids = [event["event_id"] for event in desk.events]
    assert all(event_id.startswith("event_") for event_id in ids)
    assert len(set(ids)) == len(ids)


def spoken(desk: Any, ms: float = 3000) -> str:
    """Let the model speak for so long; the item's id."""
    desk.speech_ms = ms
    desk.respond()
    desk.run()
    return str(desk.done["output"][0]["id"])


def test_s10_truncate_within_the_audio_cuts_it_and_drops_the_transcript(desk: Any) -> None:
    item_id = spoken(desk)
    desk.send({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 1210})
    truncated = desk.last("conversation.item.truncated")
    assert (truncated["item_id"], truncated["audio_end_ms"], truncated["content_index"]) == (item_id, 1210, 0)
    desk.send({"type": "conversation.item.retrieve", "item_id": item_id})
    part = desk.last("conversation.item.retrieved")["item"]["content"][0]
    assert len(base64.b64decode(part["audio"])) == 1210 * 48
    assert part["transcript"] is None
    desk.send({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 0})
    assert desk.last("conversation.item.truncated")["audio_end_ms"] == 0
    assert not desk.of("error")


@pytest.mark.parametrize("clamp", [True, False])
def test_s10_truncate_past_the_end_is_refused_then_clamped(make_desk: Any, clamp: bool) -> None:
    desk = make_desk(clamp_truncation=clamp)
    item_id = spoken(desk)
    cut = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 3700}
    desk.send({**cut, "event_id": "cut-1"})
    assert desk.error["code"] == "invalid_value"
    assert desk.error["message"] == "Audio content of 3000ms is already shorter than 3700ms"
    assert desk.error["event_id"] == "cut-1"
    assert not desk.of("conversation.item.truncated")
    desk.run(1)
    assert [event["audio_end_ms"] for event in desk.of("conversation.item.truncated")] == ([3000] if clamp else [])
    if clamp:
        assert desk.at("conversation.item.truncated") - desk.at("error") == pytest.approx(0.04)


def test_s10_truncate_works_while_the_item_is_generated(desk: Any) -> None:
    desk.speech_ms = 6000
    desk.respond()
    desk.run(0.7)  # 0.25 s of thought, then at 6 times real time
    item_id = desk.last("response.output_item.added")["item"]["id"]
    desk.send({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 500})
    assert desk.last("conversation.item.truncated")["audio_end_ms"] == 500
    desk.send({"type": "response.cancel"})
    desk.send({"type": "conversation.item.retrieve", "item_id": item_id})
    assert len(base64.b64decode(desk.last("conversation.item.retrieved")["item"]["content"][0]["audio"])) == 24_000


def test_s10_truncate_takes_only_spoken_items_of_the_assistant(desk: Any) -> None:
    desk.say("hello")
    user_id = desk.last("conversation.item.added")["item"]["id"]
    desk.send({"type": "conversation.item.truncate", "item_id": user_id, "content_index": 0, "audio_end_ms": 0})
    assert (desk.error["code"], desk.error["param"]) == ("invalid_value", "item_id")
    item_id = spoken(desk)
    desk.send({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 1, "audio_end_ms": 0})
    assert desk.error["param"] == "content_index"
    desk.send({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 1.5})
    assert (desk.error["code"], desk.error["param"]) == ("invalid_type", "audio_end_ms")
    desk.send({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": -1})
    assert desk.error["code"] == "integer_below_min_value"


def message(role: str, text: str, **more: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **more}


def test_s13_items_are_created_in_the_wished_place_and_deleted(desk: Any) -> None:
    for item_id, previous in (("a", None), ("c", None), ("b", "a"), ("top", "root")):
        event = {"type": "conversation.item.create", "item": message("user", item_id, id=item_id)}
        desk.send(event | ({"previous_item_id": previous} if previous else {}))
    assert [item.id for item in desk.session.conversation] == ["top", "a", "b", "c"]
    added = {event["item"]["id"]: event["previous_item_id"] for event in desk.of("conversation.item.added")}
    assert added == {"a": None, "c": "a", "b": "a", "top": None}
    assert len(desk.of("conversation.item.done")) == 4
    desk.send({"type": "conversation.item.delete", "item_id": "b"})
    assert desk.last("conversation.item.deleted")["item_id"] == "b"
    assert [item.id for item in desk.session.conversation] == ["top", "a", "c"]


def test_s13_wrong_items_are_refused(desk: Any) -> None:
    desk.send({"type": "conversation.item.create", "item": message("user", "x", id="a")})
    for item, code in (
        (message("user", "y", id="a"), "item_create_duplicate_item_id"),
        (message("robot", "y"), "invalid_value"),
        ({"type": "function_call_output", "call_id": "call_none", "output": "{}"}, "invalid_tool_call_id"),
        ({"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": "AAAA"}]}, None),
        ({"type": "message", "role": "user", "content": [{"type": "output_text", "text": "x"}]}, "invalid_value"),
        ({"type": "message", "role": "user", "content": [{"type": "input_text"}]}, "missing_required_parameter"),
        ({"type": "message", "role": "user"}, "missing_required_parameter"),
        ({"type": "riddle"}, "invalid_value"),
        (None, "invalid_type"),
    ):
        count = len(desk.of("error"))
        desk.send({"type": "conversation.item.create", "item": item})
        assert len(desk.of("error")) == count + 1, item
        assert code is None or desk.error["code"] == code
    desk.send({"type": "conversation.item.create", "previous_item_id": "none", "item": message("user", "x")})
    assert desk.error["code"] == "item_create_invalid_previous_item_id"
    assert [item.id for item in desk.session.conversation] == ["a"]


def test_s13_a_conversation_can_be_replayed_as_text(desk: Any) -> None:
    items = [
        message("user", "My order number is 427"),
        {"type": "function_call", "call_id": "call_1", "name": "lookup_order", "arguments": '{"number":"427"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "it is ready"},
        message("assistant", "It is ready."),
        message("system", "The connection was restored; continue, do not greet again."),
        message("user", "Where are you?"),
    ]
    for item in items:
        desk.send({"type": "conversation.item.create", "item": item})
    assert not desk.of("error")
    desk.respond()
    desk.run()
    assert "Quay Street" in desk.done["output"][0]["content"][0]["transcript"]


def test_s18_the_session_ends_at_its_cap(make_desk: Any) -> None:
    desk = make_desk(session_seconds=120)
    desk.run(119.9)
    assert desk.kinds == ["session.created"]
    desk.run(0.2)
    assert desk.error["code"] == "session_expired"
    text = "Your session hit the maximum duration of 2 minutes."
    assert desk.error["message"] == text
    assert desk.other == [Close(1001, text)]


def test_s20_voice_is_locked_after_audio_and_speed_while_responding(desk: Any) -> None:
    desk.configure(audio={"output": {"voice": "cedar"}})
    spoken(desk)
    desk.configure(audio={"output": {"voice": "marin"}})
    assert desk.error["code"] == "cannot_update_voice"
    desk.configure(audio={"output": {"voice": "cedar", "speed": 1.2}})
    assert desk.last("session.updated")["session"]["audio"]["output"]["speed"] == 1.2
    desk.respond()
    desk.configure(audio={"output": {"speed": 1.4}})
    assert desk.error["code"] == "cannot_update_speed"
    desk.run()
    desk.configure(audio={"output": {"speed": 1.4}})
    assert desk.last("session.updated")["session"]["audio"]["output"]["speed"] == 1.4


def test_s20_tracing_is_locked_once_on(desk: Any) -> None:
    desk.configure(tracing="auto", model="gpt-realtime-2.1")
    desk.configure(tracing=None)
    assert desk.error["code"] == "cannot_update_tracing"
    desk.configure(tracing="auto")
    assert len(desk.of("session.updated")) == 2


def test_s19_late_and_missing_acknowledgements(make_desk: Any) -> None:
    desk = make_desk(faults="late_created:1500,late_updated:700")
    desk.configure(instructions="x")
    assert desk.kinds == []
    desk.run(1.49)
    assert desk.kinds == []
    desk.run(0.02)
    assert desk.kinds == ["session.created"]
    desk.run(1)
    assert desk.kinds == ["session.created", "session.updated"]
    silent = make_desk(faults="no_updated")
    silent.configure(instructions="x")
    silent.run(100)
    assert silent.kinds == ["session.created"]


def test_s19_format_mismatch_gives_pcm_for_g711(make_desk: Any) -> None:
    desk = make_desk(faults="format_mismatch")
    desk.configure(audio={"output": {"format": {"type": "audio/pcmu"}}, "input": {"format": {"type": "audio/pcmu"}}})
    session = desk.last("session.updated")["session"]
    assert session["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}
    desk.speech_ms = 1000
    desk.respond()
    desk.run()
    assert sum(len(base64.b64decode(e["delta"])) for e in desk.of("response.output_audio.delta")) == 48_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = [
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.truncate",
    "conversation.item.delete",
    "conversation.item.retrieve",
    "response.create",
    "response.cancel",
    "output_audio_buffer.clear",
]
KEYS = ["session", "audio", "item", "item_id", "previous_item_id", "content_index", "audio_end_ms", "response"]
FIELDS = ["type", "role", "content", "text", "call_id", "output", "input", "tools", "metadata", "conversation", "id"]
WORDS = st.sampled_from(["message", "user", "realtime", "function_call", "none", "auto", "input_text", "root"])
SHAPES = st.dictionaries(st.sampled_from(FIELDS), JSON | WORDS | st.lists(st.dictionaries(WORDS, JSON), max_size=2))


@settings(deadline=None, max_examples=examples(60))
@given(
    events=st.lists(
        st.fixed_dictionaries({"type": st.sampled_from(TYPES) | JSON}, optional=dict.fromkeys(KEYS, JSON | SHAPES)),
        max_size=6,
    )
)
def test_nothing_a_client_sends_breaks_the_session(events: list[Any]) -> None:

    story = parse_scenario("otherwise: Yes.", "x")
    session = Session(
        model="gpt-realtime-2.1",
        options=SandboxOptions(recogniser=False),
        scenario=story,
        detector=Energy(),
        salt="x",
        wall_time=0,
    )
    session.start(0)
    for number, event in enumerate(events):
        session.receive(json.dumps(event), number)
    session.tick(100)
    session.receive('{"type":"response.cancel"}', 101)
    session.receive("[" * 100_000, 102)
    sent = [command.event for command in session.take() if isinstance(command, SendEvent)]
    assert sent[-1]["error"]["code"] == "invalid_json"
    assert json.dumps(sent)
