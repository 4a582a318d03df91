"""Transcripts of the caller's turns."""

from typing import Any

import pytest

PREFIX = "conversation.item.input_audio_transcription"


def ready(desk: Any, model: str = "gpt-transcribe", **more: Any) -> Any:
    desk.configure(audio={"input": {"transcription": {"model": model, "language": "en"}}}, **more)
    return desk


def test_s14_a_transcript_follows_the_turn_and_fills_the_item(make_desk: Any) -> None:
    desk = ready(make_desk(transcription_ms=120))
    desk.hears = ["what are your opening hours"]
    desk.speak(1000, 400)
    desk.run()
    item_id = desk.last("input_audio_buffer.committed")["item_id"]
    completed = desk.last(f"{PREFIX}.completed")
    assert (completed["item_id"], completed["transcript"]) == (item_id, "what are your opening hours")
    assert completed["usage"]["type"] == "tokens"
    assert completed["usage"]["input_tokens"] == 12
    assert "".join(event["delta"] for event in desk.of(f"{PREFIX}.delta")) == "what are your opening hours"
    assert desk.at(f"{PREFIX}.completed") - desk.at("input_audio_buffer.committed") == pytest.approx(0.12)
    desk.send({"type": "conversation.item.retrieve", "item_id": item_id})
    part = desk.last("conversation.item.retrieved")["item"]["content"][0]
    assert part["transcript"] == "what are your opening hours"


def test_s14_usage_by_duration_for_whisper_and_logprobs_on_request(desk: Any) -> None:
    ready(desk, "whisper-1", include=["item.input_audio_transcription.logprobs"])
    desk.hears = ["hello"]
    desk.speak(1000, 400)
    desk.run()
    completed = desk.last(f"{PREFIX}.completed")
    assert completed["usage"] == {"type": "duration", "seconds": 1.2}
    assert [entry["token"] for entry in completed["logprobs"]] == ["hello"]


def test_s14_no_transcripts_unless_asked_for(desk: Any) -> None:
    desk.hears = ["hello"]
    desk.speak()
    desk.run()
    assert not [kind for kind in desk.kinds if kind.startswith(PREFIX)]
    assert desk.done["output"][0]["content"][0]["transcript"] == "Hello! How can I help you?"


def test_s14_a_transcript_may_come_after_the_response(make_desk: Any) -> None:
    desk = ready(make_desk(faults="transcription_late:9000"))
    desk.hears = ["hello"]
    desk.speak()
    desk.run()
    assert desk.kinds.index(f"{PREFIX}.completed") > desk.kinds.index("response.done")


def test_s14_a_transcription_may_fail_while_the_model_understands(make_desk: Any) -> None:
    desk = ready(make_desk(faults="transcription_fail"))
    desk.hears = ["where are you"]
    desk.speak()
    desk.run()
    assert desk.last(f"{PREFIX}.failed")["error"]["code"] == "audio_unintelligible"
    assert not desk.of(f"{PREFIX}.completed")
    assert "Quay Street" in desk.done["output"][0]["content"][0]["transcript"]


def test_s14_transcripts_of_two_turns_may_swap(make_desk: Any) -> None:
    desk = ready(make_desk(faults="transcription_order"))
    desk.hears = ["hello", "where are you"]
    desk.speak()
    desk.run()
    assert not desk.of(f"{PREFIX}.completed")
    desk.speak()
    desk.run()
    assert [event["transcript"] for event in desk.of(f"{PREFIX}.completed")] == ["where are you", "hello"]


def test_without_a_recogniser_transcripts_are_empty(make_desk: Any) -> None:
    desk = ready(make_desk(recogniser=False))
    desk.speak()
    desk.run()
    assert desk.last(f"{PREFIX}.completed")["transcript"] == ""
    assert desk.done["status"] == "completed"
