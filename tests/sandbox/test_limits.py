"""Values that the API refuses are refused, with the name of the parameter, and change nothing."""

import json
from typing import Any

import pytest


def tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "name": "look", **fields}]}


def transcription(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": {"transcription": {"model": "gpt-transcribe", **fields}}}}


def vad(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": {"turn_detection": {"type": "server_vad", **fields}}}}


IN, OUT = "session.audio.input", "session.audio.output"


@pytest.mark.parametrize(
    ("update", "code", "param"),
    [
        *(
            (transcription(language=code), "invalid_value", f"{IN}.transcription.language")
            for code in ("pt-BR", "en_US")
        ),
        *((transcription(language=code), "invalid_value", f"{IN}.transcription.language") for code in ("", " ", "eng")),
        (transcription(language="xx"), "invalid_value", f"{IN}.transcription.language"),
        (transcription(language="EN"), "invalid_value", f"{IN}.transcription.language"),
        (transcription(language=7), "invalid_type", f"{IN}.transcription.language"),
        (transcription(languages=["en", "de-CH"]), "invalid_value", f"{IN}.transcription.languages[1]"),
        (transcription(model="whisper"), "invalid_value", f"{IN}.transcription.model"),
        (transcription(model="whisper-1", keywords=["x"]), "unsupported_parameter", f"{IN}.transcription.keywords"),
        (transcription(model="whisper-1", languages=["en"]), "unsupported_parameter", f"{IN}.transcription.languages"),
        (transcription(delay="low"), "unsupported_parameter", f"{IN}.transcription.delay"),
        (
            transcription(model="gpt-realtime-whisper", prompt="x"),
            "unsupported_parameter",
            f"{IN}.transcription.prompt",
        ),
        ({"audio": {"output": {"voice": "nova"}}}, "invalid_value", f"{OUT}.voice"),
        ({"audio": {"output": {"voice": "Marin"}}}, "invalid_value", f"{OUT}.voice"),
        ({"audio": {"output": {"voice": {"name": "x"}}}}, "missing_required_parameter", f"{OUT}.voice.id"),
        ({"audio": {"output": {"speed": 0.2}}}, "decimal_below_min_value", f"{OUT}.speed"),
        ({"audio": {"output": {"speed": 1.6}}}, "decimal_above_max_value", f"{OUT}.speed"),
        ({"audio": {"input": {"noise_reduction": {"type": "off"}}}}, "invalid_value", f"{IN}.noise_reduction.type"),
        (vad(threshold=7), "decimal_above_max_value", f"{IN}.turn_detection.threshold"),
        (vad(threshold=-0.1), "decimal_below_min_value", f"{IN}.turn_detection.threshold"),
        (vad(silence_duration_ms=-1), "integer_below_min_value", f"{IN}.turn_detection.silence_duration_ms"),
        (vad(prefix_padding_ms=0.5), "invalid_type", f"{IN}.turn_detection.prefix_padding_ms"),
        (vad(idle_timeout_ms=4999), "integer_below_min_value", f"{IN}.turn_detection.idle_timeout_ms"),
        (vad(idle_timeout_ms=30001), "integer_above_max_value", f"{IN}.turn_detection.idle_timeout_ms"),
        (vad(eagerness="low"), "unknown_parameter", f"{IN}.turn_detection.eagerness"),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "max"}}}},
            "invalid_value",
            f"{IN}.turn_detection.eagerness",
        ),
        ({"max_output_tokens": 4097}, "integer_above_max_value", "session.max_output_tokens"),
        ({"max_output_tokens": 0}, "integer_below_min_value", "session.max_output_tokens"),
        ({"model": "gpt-none"}, "cannot_update_model", "session.model"),
        ({"output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
        ({"output_modalities": []}, "invalid_value", "session.output_modalities"),
        (tool(name="look up"), "invalid_value", "session.tools[0].name"),
        (tool(name=""), "invalid_value", "session.tools[0].name"),
        (tool(name="größe"), "invalid_value", "session.tools[0].name"),
        (tool(name="x" * 65), "string_above_max_length", "session.tools[0].name"),
        (tool(parameters="none"), "invalid_type", "session.tools[0].parameters"),
        (tool(parameters={"type": "string"}), "invalid_function_parameters", "session.tools[0].parameters"),
        ({"tool_choice": {"type": "function", "name": "a b"}}, "invalid_value", None),
        ({"reasoning": {"effort": "much"}}, "invalid_value", "session.reasoning.effort"),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": 1.5}}, "decimal_above_max_value", None),
    ],
)
def test_a_session_update_is_refused(desk: Any, update: dict[str, Any], code: str, param: str | None) -> None:
    before = json.dumps(desk.session.state.settings)
    desk.configure(**update)
    assert desk.error["type"] == "invalid_request_error"
    assert desk.error["code"] == code
    assert param is None or desk.error["param"] == param
    assert json.dumps(desk.session.state.settings) == before
    assert not desk.of("session.updated")


@pytest.mark.parametrize(
    "update",
    [
        transcription(language="pt", keywords=["Quay"], languages=["pt", "en"]),
        transcription(model="whisper-1", language=None, prompt="bicycles"),
        transcription(model="gpt-realtime-whisper", delay="low"),
        {"audio": {"output": {"voice": {"id": "voice_1"}, "speed": 0.25}}},
        {"audio": {"output": {"voice": "cedar", "speed": 1.5}}},
        vad(threshold=0.0, prefix_padding_ms=0, silence_duration_ms=0, idle_timeout_ms=5000),
        vad(threshold=1, idle_timeout_ms=30000),
        {"max_output_tokens": 1},
        {"max_output_tokens": 4096},
        {"max_output_tokens": "inf"},
        {"output_modalities": ["text"]},
        tool(name="x" * 64, parameters={}),
        tool(name="A-b_9", parameters={"type": "object", "properties": {}}),
    ],
)
def test_what_the_api_takes_is_taken(desk: Any, update: dict[str, Any]) -> None:
    desk.configure(**update)
    assert desk.kinds[-1] == "session.updated"


@pytest.mark.parametrize(
    ("metadata", "code", "param"),
    [
        ({str(n): "x" for n in range(17)}, "object_above_max_properties", "response.metadata"),
        ({"x" * 65: "x"}, "string_above_max_length", None),
        ({"k": "x" * 513}, "string_above_max_length", "response.metadata.k"),
        ({"k": 1}, "invalid_type", "response.metadata.k"),
        (["k"], "invalid_type", "response.metadata"),
    ],
)
def test_metadata_are_few_and_short(desk: Any, metadata: Any, code: str, param: str | None) -> None:
    desk.respond(metadata=metadata)
    assert desk.error["code"] == code
    assert param is None or desk.error["param"] == param
    assert not desk.of("response.created")
    desk.respond(metadata={**{str(n): "x" for n in range(15)}, "y" * 64: "x" * 512})
    assert desk.of("response.created")


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"id": "x" * 33, "type": "message", "role": "user", "content": []}, "item.id"),
        ({"type": "function_call", "name": "look", "arguments": "{}", "call_id": "x" * 33}, "item.call_id"),
        ({"type": "function_call_output", "output": "", "call_id": "x" * 33}, "item.call_id"),
        ({"type": "function_call", "name": "x" * 65, "arguments": "{}"}, "item.name"),
    ],
)
def test_ids_and_names_of_items_are_short(desk: Any, item: dict[str, Any], param: str) -> None:
    desk.send({"type": "conversation.item.create", "item": item})
    assert (desk.error["code"], desk.error["param"]) == ("string_above_max_length", param)
    assert not desk.of("conversation.item.added")
    longest = {"id": "y" * 32, "type": "message", "role": "user", "content": []}
    desk.send({"type": "conversation.item.create", "item": longest})
    assert desk.last("conversation.item.added")["item"]["id"] == "y" * 32


@pytest.mark.parametrize(
    ("field", "value"), [("status", "done"), ("object", "item"), ("phase", "later"), ("role", "developer")]
)
def test_words_of_an_item_are_those_of_the_api(desk: Any, field: str, value: str) -> None:
    item = {"type": "message", "role": "user", "content": [], field: value}
    desk.send({"type": "conversation.item.create", "item": item})
    assert (desk.error["code"], desk.error["param"]) == ("invalid_value", f"item.{field}")
    assert not desk.of("conversation.item.added")
