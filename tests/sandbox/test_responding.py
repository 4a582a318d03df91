"""Responses: their events, timing, overrides, calls, failures and costs."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest

from ariagent.sandbox import audio as sound

TOOL = {"type": "function", "name": "lookup_order", "description": "", "parameters": {"type": "object"}}
BYE = {"type": "function", "name": "end_call", "description": "", "parameters": {"type": "object"}}

TURN = [
    "speech_started",
    "speech_stopped",
    "committed",
    "item.added",
    "item.done",
    "response.created",
    "output_item.added",
    "item.added",
    "content_part.added",
    "output_audio.done",
    "output_audio_transcript.done",
    "content_part.done",
    "item.done",
    "output_item.done",
    "response.done",
    "rate_limits.updated",
]


def short(kind: str) -> str:
    for prefix in ("input_audio_buffer.", "conversation."):
        kind = kind.removeprefix(prefix)
    return kind if kind in ("response.created", "response.done") else kind.removeprefix("response.")


def test_s7_a_turn_has_the_documented_order_of_events(desk: Any) -> None:
    desk.forget()
    desk.hears = ["where are you"]
    desk.speak()
    desk.run()
    kinds = [short(kind) for kind in desk.kinds]
    assert [kind for kind in kinds if not kind.endswith(".delta")] == TURN
    deltas = [index for index, kind in enumerate(kinds) if kind.endswith("audio.delta")]
    words = [index for index, kind in enumerate(kinds) if kind.endswith("transcript.delta")]
    first, last = kinds.index("content_part.added"), kinds.index("output_audio.done")
    assert all(first < index < last for index in deltas + words)
    assert all(event["obfuscation"] for event in desk.events if event["type"].endswith(".delta"))
    transcript = "".join(event["delta"] for event in desk.of("response.output_audio_transcript.delta"))
    assert transcript == desk.last("response.output_audio_transcript.done")["transcript"]
    assert desk.last("response.content_part.added")["part"]["type"] == "audio"
    assert desk.of("conversation.item.done")[-1]["item"]["content"][0]["type"] == "output_audio"
    user, agent = (item.id for item in desk.session.conversation)
    assert [event["previous_item_id"] for event in desk.of("conversation.item.added")] == [None, user]
    assert desk.last("response.output_item.done")["item"]["id"] == agent


def test_s7_response_objects_have_every_key_and_rate_limits_follow(desk: Any) -> None:
    desk.respond(metadata={"purpose": "test"})
    desk.run()
    keys = "id object status status_details output conversation_id output_modalities max_output_tokens audio usage"
    for event in desk.of("response.created", "response.done"):
        assert set(event["response"]) == {*keys.split(), "metadata"}
        assert event["response"]["metadata"] == {"purpose": "test"}
    created = desk.of("response.created")[0]["response"]
    assert (created["status"], created["status_details"], created["usage"]) == ("in_progress", None, None)
    limits = desk.last("rate_limits.updated")
    assert [limit["name"] for limit in limits["rate_limits"]] == ["tokens"]
    assert desk.at("rate_limits.updated") - desk.at("response.done") == pytest.approx(0.04)


def test_s8_audio_comes_faster_than_real_time_in_uneven_deltas(make_desk: Any) -> None:
    desk = make_desk(think_ms=300, generation_speed=5.0)
    desk.speech_ms = 10_000
    desk.respond()
    desk.run()
    pieces = [len(base64.b64decode(event["delta"])) for event in desk.of("response.output_audio.delta")]
    assert sum(pieces) == 480_000
    assert all(piece % 160 for piece in pieces[:-1])
    assert all(100 <= piece / 48 <= 200 for piece in pieces[:-1])
    assert desk.at("response.output_audio.delta", 0) - desk.at("response.created") == pytest.approx(0.3)
    took = desk.at("response.output_audio.delta", -1) - desk.at("response.output_audio.delta", 0)
    assert took == pytest.approx(10 / 5, abs=0.05)


@pytest.mark.parametrize("name", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_s8_every_output_format_and_speed(desk: Any, name: str) -> None:
    desk.configure(audio={"output": {"format": {"type": name}, "speed": 1.25}})
    desk.speech_ms = 2000
    desk.respond()
    desk.run()
    pieces = [base64.b64decode(event["delta"]) for event in desk.of("response.output_audio.delta")]
    fmt = sound.wire_format({"type": name})
    assert fmt.ms(len(b"".join(pieces))) == pytest.approx(1600, abs=1)
    assert all(len(piece) % 160 for piece in pieces[:-1])
    assert desk.done["audio"]["output"]["format"]["type"] == name


def test_s11_overrides_hold_for_one_response(desk: Any) -> None:
    desk.configure(instructions="Be nice.")
    desk.respond(instructions="Say exactly: Good morning.", output_modalities=["text"], metadata={"a": "b"})
    desk.run()
    assert desk.done["output"][0]["content"] == [{"type": "output_text", "text": "Good morning."}]
    assert (desk.done["output_modalities"], desk.done["metadata"]) == (["text"], {"a": "b"})
    assert "".join(event["delta"] for event in desk.of("response.output_text.delta")) == "Good morning."
    desk.respond()
    desk.run()
    assert desk.done["output_modalities"] == ["audio"]
    desk.respond(no_such_key=1)
    assert (desk.error["code"], desk.error["param"]) == ("unknown_parameter", "response.no_such_key")


def test_s11_one_response_at_a_time_in_the_conversation(desk: Any) -> None:
    desk.respond()
    desk.send({"type": "response.create", "event_id": "again"})
    assert desk.error["code"] == "conversation_already_has_active_response"
    assert desk.error["event_id"] == "again"
    desk.run()
    assert len(desk.of("response.done")) == 1
    desk.respond()
    desk.run()
    assert len(desk.of("response.done")) == 2


def test_s11_out_of_band_responses_run_beside_and_leave_no_items(desk: Any) -> None:
    desk.say("What are your opening hours?")
    desk.respond()
    desk.run(0.3)
    summary = {"conversation": "none", "output_modalities": ["text"], "metadata": {"purpose": "summary"}}
    desk.respond(**summary, instructions="Summarise the call in 3 lines", tools=[], tool_choice="none")
    desk.respond(conversation="none", output_modalities=["text"], input=[], instructions="Say exactly: Only this.")
    desk.run()
    done = [event["response"] for event in desk.of("response.done")]
    assert sorted(str(response["conversation_id"])[:5] for response in done) == ["None", "None", "conv_"]
    texts = [response["output"][0]["content"][0].get("text") for response in done if not response["conversation_id"]]
    assert sorted(texts) == sorted([texts[0], texts[1]])
    assert "Only this." in texts
    assert any(text.startswith("Caller: What are your opening hours?") for text in texts)
    assert len(desk.session.conversation) == 2
    assert len(desk.of("conversation.item.added")) == 2
    assert not desk.of("error")


def test_s11_input_may_reference_items(desk: Any) -> None:
    desk.say("Where are you?")
    first = desk.last("conversation.item.added")["item"]["id"]
    desk.say("What are your opening hours?")
    desk.respond(conversation="none", output_modalities=["text"], input=[{"type": "item_reference", "id": first}])
    desk.run()
    assert desk.done["output"][0]["content"][0]["text"] == "Caller: Where are you?"
    desk.respond(conversation="none", input=[{"type": "item_reference", "id": "item_none"}])
    assert desk.error["code"] == "item_retrieve_invalid_item_id"
    given = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where are you?"}]}
    desk.respond(input=[given])
    desk.run()
    assert "Quay Street" in desk.done["output"][0]["content"][0]["transcript"]


def test_s12_a_function_call_with_commentary_before_it(desk: Any) -> None:
    desk.configure(tools=[TOOL])
    desk.say("My order number is four two seven")
    desk.forget()
    desk.respond()
    desk.run()
    message, call = desk.done["output"]
    assert message["phase"] == "commentary"
    assert (call["type"], call["status"], call["name"]) == ("function_call", "completed", "lookup_order")
    assert json.loads(call["arguments"]) == {"number": "427"}
    kinds = [kind for kind in desk.kinds if "function_call" in kind or "item" in kind]
    assert kinds[-4:] == [
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
    ]
    added = desk.of("response.output_item.added")[1]
    assert (added["item"]["status"], added["item"]["arguments"], added["output_index"]) == ("in_progress", "", 1)
    pieces = [event["delta"] for event in desk.of("response.function_call_arguments.delta")]
    done = desk.last("response.function_call_arguments.done")
    assert "".join(pieces) == done["arguments"] == call["arguments"]
    assert (done["name"], done["call_id"]) == ("lookup_order", call["call_id"])
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "it is ready"}
    desk.send({"type": "conversation.item.create", "item": output})
    desk.respond()
    desk.run()
    assert desk.done["output"][0]["content"][0]["transcript"].startswith("I have it. The workshop says it is ready.")
    assert desk.done["output"][0]["phase"] == "final_answer"


def test_a_note_of_the_systems_that_is_newer_than_a_tools_result_is_what_is_answered(make_desk: Any) -> None:
    desk = make_desk(
        "rules:\n"
        "- {name: looked, when: {tool_result: lookup_order}, then: It is there.}\n"
        "- {name: back, when: {note: /has come back/}, then: Welcome back.}\n"
        "- {name: go, when: {said: go}, then: [{call: {name: lookup_order, arguments: {}}}]}\n"
        "otherwise: I see."
    )
    desk.configure(tools=[TOOL])
    desk.say("go")
    desk.respond()
    desk.run()
    [call] = desk.done["output"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
    note = {
        "type": "message",
        "role": "system",
        "content": [{"type": "input_text", "text": "The caller has come back."}],
    }
    for item in (output, note):
        desk.send({"type": "conversation.item.create", "item": item})
    desk.respond()
    desk.run()
    assert desk.done["output"][0]["content"][0]["transcript"] == "Welcome back."


def test_s12_several_calls_in_one_response(make_desk: Any) -> None:
    desk = make_desk("otherwise: [{call: {name: lookup_order, arguments: {n: 1}}}, {call: {name: end_call}}]")
    desk.configure(tools=[TOOL, BYE])
    desk.say("go")
    desk.respond()
    desk.run()
    assert [item["name"] for item in desk.done["output"]] == ["lookup_order", "end_call"]
    assert len({item["call_id"] for item in desk.done["output"]}) == 2


def test_s12_a_cancelled_call_keeps_cut_arguments_and_is_not_done(make_desk: Any) -> None:
    desk = make_desk(f"otherwise: [{{call: {{name: lookup_order, arguments: {{text: {'x' * 80}}}}}}}]")
    desk.configure(tools=[TOOL])
    desk.say("go")
    desk.respond()
    desk.run(0.3)
    desk.send({"type": "response.cancel"})
    assert desk.done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    [call] = desk.done["output"]
    assert call["status"] == "incomplete"
    with pytest.raises(ValueError):
        json.loads(call["arguments"])
    assert not desk.of("response.function_call_arguments.done")


def test_s12_tools_that_are_not_offered_are_not_called(desk: Any) -> None:
    desk.say("My order number is four two seven")
    desk.respond()
    desk.run()
    assert [item["type"] for item in desk.done["output"]] == ["message"]
    desk.configure(tools=[TOOL])
    desk.say("My order number is four two seven")
    desk.respond(tool_choice="none")
    desk.run()
    assert [item["type"] for item in desk.done["output"]] == ["message"]
    desk.respond(tool_choice="required")
    desk.run()
    assert [item["type"] for item in desk.done["output"]] == ["function_call"]
    desk.respond(tool_choice={"type": "function", "name": "lookup_order"})
    desk.run()
    assert desk.done["output"][0]["name"] == "lookup_order"


def test_s15_usage_grows_with_the_conversation_and_its_prefix_is_cached(desk: Any) -> None:
    desk.configure(instructions="x" * 4000)
    desk.hears = ["where are you", "what are your opening hours"]
    usages = []
    for _ in range(2):
        desk.speak(1000, 400)
        desk.run()
        usages.append(desk.done["usage"])
    first, second = usages
    assert first["input_token_details"]["cached_tokens"] == 0
    assert first["input_token_details"]["audio_tokens"] == 12  # 1.2 s of the caller, 10 tokens a second
    spoken_ms = 65 * len(desk.of("response.output_audio_transcript.done")[0]["transcript"])
    assert first["output_token_details"]["audio_tokens"] == pytest.approx(spoken_ms / 50, abs=1)
    assert second["input_tokens"] > first["input_tokens"] + first["output_token_details"]["audio_tokens"]
    details = second["input_token_details"]
    assert details["cached_tokens"] == sum(details["cached_tokens_details"].values()) >= 960
    assert details["cached_tokens_details"]["text_tokens"] % 64 == 0
    for usage in usages:
        parts = usage["input_token_details"]
        assert usage["input_tokens"] == parts["text_tokens"] + parts["audio_tokens"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    desk.configure(instructions="y" * 4000)
    desk.respond(instructions=None)
    desk.run()
    assert desk.done["usage"]["input_token_details"]["cached_tokens"] == 0  # new instructions break the cache


def test_s15_truncation_keeps_the_conversation_small(make_desk: Any) -> None:
    sizes = {}
    for truncation in (
        "disabled",
        "auto",
        {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 300}},
    ):
        desk = make_desk(context_tokens=1000)
        desk.configure(truncation=truncation, instructions="")
        for _ in range(20):
            desk.say("word " * 80)
        desk.respond(output_modalities=["text"])
        desk.run()
        sizes[str(truncation)[:8]] = desk.done["usage"]["input_tokens"]
    assert sizes["disabled"] == 2000
    assert sizes["auto"] == 1000
    assert sizes["{'type':"] <= 150


def test_s17_responses_fail_or_stay_incomplete_on_demand(make_desk: Any) -> None:
    desk = make_desk(
        """
        rules:
          - {when: {said: limit}, then: [{fail: {code: rate_limit_exceeded, message: Slow down.}}]}
          - {when: {said: filter}, then: [{say: I will}, {stop: content_filter}]}
        otherwise: Fine.
        """
    )
    desk.say("limit")
    desk.respond()
    desk.run()
    assert desk.done["status"] == "failed"
    error = {"type": "tokens", "code": "rate_limit_exceeded", "message": "Slow down."}
    assert desk.done["status_details"] == {"type": "failed", "error": error}
    desk.say("filter")
    desk.respond()
    desk.run()
    assert desk.done["status_details"] == {"type": "incomplete", "reason": "content_filter"}
    assert len(desk.done["output"]) == 1


@pytest.mark.parametrize(("modality", "limit"), [("audio", 40), ("text", 20)])
def test_s17_max_output_tokens_cuts_the_reply(desk: Any, modality: str, limit: int) -> None:
    desk.respond(max_output_tokens=limit, output_modalities=[modality])
    desk.run()
    assert desk.done["status"] == "incomplete"
    assert desk.done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert desk.done["output"][0]["status"] == "incomplete"
    assert limit * 0.6 <= desk.done["usage"]["output_tokens"] <= limit * 1.5
    assert desk.done["max_output_tokens"] == limit


def test_s17_by_fault_from_the_nth_response_on(make_desk: Any) -> None:
    desk = make_desk(faults="rate_limit@2")
    for _ in range(3):
        desk.respond()
        desk.run()
    statuses = [event["response"]["status"] for event in desk.of("response.done")]
    assert statuses == ["completed", "failed", "failed"]
    filtered = make_desk(faults="content_filter")
    filtered.respond()
    filtered.run()
    assert filtered.done["status_details"]["reason"] == "content_filter"


def test_s19_a_stalled_response_never_ends_but_can_be_cancelled(make_desk: Any) -> None:
    desk = make_desk(faults="stall:600")
    desk.speech_ms = 5000
    desk.respond()
    desk.run(1000)
    ms = sum(len(base64.b64decode(event["delta"])) for event in desk.of("response.output_audio.delta")) / 48
    assert 500 <= ms <= 800
    assert not desk.of("response.done")
    desk.send({"type": "response.cancel"})
    assert desk.done["status"] == "cancelled"


def test_s19_a_silent_server_begins_no_response_and_hears_on(make_desk: Any) -> None:
    desk = make_desk(faults="silent@2")
    desk.respond()
    desk.run()
    assert desk.done["status"] == "completed"
    desk.respond()
    desk.run(1000)
    assert len(desk.of("response.created")) == 1
    assert not desk.of("error")


def test_s19_an_empty_response_completes(make_desk: Any) -> None:
    desk = make_desk(faults="empty")
    desk.respond()
    desk.run()
    assert (desk.done["status"], desk.done["output"]) == ("completed", [])
    assert not desk.of("response.output_audio.delta")


def test_s19_duplicate_deltas(make_desk: Any) -> None:
    desk = make_desk(faults="duplicate_delta")
    desk.speech_ms = 3000
    desk.respond()
    desk.run()
    deltas = [event["delta"] for event in desk.of("response.output_audio.delta")]
    assert any(one == other for one, other in pairwise(deltas))
    assert len(b"".join(map(base64.b64decode, deltas))) > 48 * 3000


def test_cancel_by_id_and_the_wrong_id(desk: Any) -> None:
    desk.respond()
    desk.run(0.3)
    desk.send({"type": "response.cancel", "response_id": "resp_none"})
    assert desk.error["code"] == "response_cancel_not_active"
    desk.send({"type": "response.cancel", "response_id": desk.last("response.created")["response"]["id"]})
    assert desk.done["status_details"]["reason"] == "client_cancelled"


def test_slow_speech_delays_the_first_audio_only(desk: Any) -> None:
    desk.respond()
    assert desk.kinds[-1] == "response.created"
    desk.run()
    assert desk.done["status"] == "completed"
