"""The input audio buffer: audio clock, turn detection, commits, idle timeout."""

import base64
from typing import Any

import pytest

from ariagent.sandbox import audio as sound
from ariagent.sandbox.line import Recognise


@pytest.mark.parametrize("fmt", [sound.PCM, sound.PCMU, sound.PCMA])
def test_s5_positions_are_appended_audio_with_padding_and_tail(desk: Any, speech_like: Any, fmt: Any) -> None:
    desk.configure(
        audio={
            "input": {
                "format": {"type": fmt.name},
                "turn_detection": {"type": "server_vad", "prefix_padding_ms": 300, "silence_duration_ms": 500},
            }
        }
    )
    desk.now += 1234.5  # wall time must not matter
    desk.append(fmt.silence(1000), fmt=fmt)
    desk.append(fmt.encode(sound.tone(640, fmt.rate_hz)), fmt=fmt)
    desk.append(fmt.silence(480), fmt=fmt)
    assert desk.last("input_audio_buffer.speech_started")["audio_start_ms"] == 700
    assert not desk.of("input_audio_buffer.speech_stopped")
    desk.append(fmt.silence(60), fmt=fmt)
    assert desk.last("input_audio_buffer.speech_stopped")["audio_end_ms"] == 1000 + 640 + 500
    assert desk.session.hearing.appended_ms == 1000 + 640 + 540
    item_id = desk.last("input_audio_buffer.committed")["item_id"]
    desk.send({"type": "conversation.item.retrieve", "item_id": item_id})
    audio = base64.b64decode(desk.last("conversation.item.retrieved")["item"]["content"][0]["audio"])
    assert fmt.ms(len(audio)) == 2140 - 700


def test_s5_the_clock_runs_on_over_turns_and_clears(desk: Any) -> None:
    desk.speak(600, 400)
    desk.run()
    desk.send({"type": "input_audio_buffer.clear"})
    assert desk.kinds[-1] == "input_audio_buffer.cleared"
    desk.speak(600, 400)
    started, stopped = (desk.of(f"input_audio_buffer.speech_{word}") for word in ("started", "stopped"))
    assert [event["audio_start_ms"] for event in started] == [0, 1000]  # no reaching back behind the clear
    assert [event["audio_end_ms"] for event in stopped] == [800, 1800]


def test_s5_a_short_pause_does_not_end_a_turn(desk: Any, speech_like: Any) -> None:
    desk.append(speech_like(300) + bytes(48 * 160) + speech_like(300) + bytes(48 * 300))
    assert len(desk.of("input_audio_buffer.speech_started")) == 1
    assert desk.last("input_audio_buffer.speech_stopped")["audio_end_ms"] == 300 + 160 + 300 + 200


@pytest.mark.parametrize(("eagerness", "wait_ms"), [("high", 300), ("auto", 600), ("low", 1200)])
def test_s5_semantic_vad_waits_longer_and_longest_after_little(desk: Any, eagerness: str, wait_ms: int) -> None:
    desk.configure(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}})
    desk.speak(1000, 2000)
    assert desk.last("input_audio_buffer.speech_stopped")["audio_end_ms"] == 1000 + wait_ms
    desk.run()
    desk.speak(200, 6000)
    stopped = desk.last("input_audio_buffer.speech_stopped")["audio_end_ms"]
    assert stopped == 3000 + 200 + round(wait_ms / 0.3)


def test_s5_manual_mode_commits_on_request_only(desk: Any, speech_like: Any) -> None:
    desk.configure(audio={"input": {"turn_detection": None}})
    desk.append(speech_like(90))
    desk.send({"type": "input_audio_buffer.commit", "event_id": "c1"})
    assert desk.error["code"] == "input_audio_buffer_commit_empty"
    assert "90.00ms" in desk.error["message"]
    desk.append(speech_like(400) + bytes(48 * 2000))
    assert not desk.of("input_audio_buffer.speech_started", "input_audio_buffer.committed")
    desk.send({"type": "input_audio_buffer.commit"})
    assert desk.kinds[-3:] == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    item_id = desk.last("input_audio_buffer.committed")["item_id"]
    desk.send({"type": "conversation.item.retrieve", "item_id": item_id})
    audio = base64.b64decode(desk.last("conversation.item.retrieved")["item"]["content"][0]["audio"])
    assert len(audio) == 48 * 2490
    desk.run()
    assert not desk.of("response.created")
    desk.send({"type": "input_audio_buffer.commit"})
    assert desk.error["code"] == "input_audio_buffer_commit_empty"


def test_s5_a_client_may_commit_in_the_middle_of_a_detected_turn(desk: Any, speech_like: Any) -> None:
    desk.append(bytes(48 * 500) + speech_like(400))
    desk.send({"type": "input_audio_buffer.commit"})
    started = desk.last("input_audio_buffer.speech_started")
    assert desk.last("input_audio_buffer.committed")["item_id"] == started["item_id"]
    desk.append(bytes(48 * 1000))
    assert not desk.of("input_audio_buffer.speech_stopped")


def test_s9_speech_cancels_the_running_response_after_a_few_late_deltas(make_desk: Any, speech_like: Any) -> None:
    desk = make_desk(late_deltas=2)
    desk.speech_ms = 9000
    desk.respond()
    desk.run(0.8)
    before = len(desk.of("response.output_audio.delta"))
    desk.append(speech_like(200))
    at = desk.kinds.index("input_audio_buffer.speech_started")
    after = desk.kinds[at:]
    assert after.count("response.output_audio.delta") == 2
    assert before >= 3
    assert desk.done["status"] == "cancelled"
    assert desk.done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert desk.done["output"][0]["status"] == "incomplete"
    assert desk.last("conversation.item.done")["item"]["status"] == "incomplete"
    desk.run(0.5)
    assert desk.kinds[-1] == "rate_limits.updated"
    assert desk.kinds[at:].count("response.output_audio.delta") == 2


async def test_s9_no_audio_of_an_interrupted_response_comes_after_speech_started(
    make_place: Any, speech_like: Any
) -> None:
    place = await make_place("opening: This is going to take a good while to say.\notherwise: x", generation_speed=2.0)
    client = await place.client()
    await client.send({"type": "response.create"})
    await client.until("response.output_audio.delta", count=2)
    await client.append(speech_like(300))
    done = await client.until("response.done")
    assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    await client.fence()
    after = client.kinds[client.kinds.index("input_audio_buffer.speech_started") :]
    assert not [kind for kind in after if kind.endswith(".delta")]


def test_s9_without_interrupt_response_it_keeps_going(desk: Any) -> None:
    detection = {"type": "server_vad", "interrupt_response": False, "create_response": True}
    desk.configure(audio={"input": {"turn_detection": detection}})
    desk.speech_ms = 20_000
    desk.respond()
    desk.run(0.5)
    desk.speak(400, 300)
    assert desk.error["code"] == "conversation_already_has_active_response"  # the server raced itself
    assert desk.error["event_id"] is None
    desk.run()
    assert [event["response"]["status"] for event in desk.of("response.done")] == ["completed"]


def test_s9_without_create_response_the_turn_is_only_committed(desk: Any) -> None:
    detection = {"type": "server_vad", "create_response": False}
    desk.configure(audio={"input": {"turn_detection": detection}})
    desk.speak()
    desk.run()
    assert desk.of("input_audio_buffer.committed")
    assert not desk.of("response.created")


def test_s16_idle_timeout_counts_from_the_computed_end_of_playback(make_desk: Any) -> None:
    desk = make_desk()
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    desk.configure(audio={"input": {"turn_detection": detection}})
    desk.speech_ms = 4000
    desk.respond()
    desk.run(1.5)
    finished = desk.at("response.done")
    desk.append(bytes(48 * 11_000))
    triggered = desk.last("input_audio_buffer.timeout_triggered")
    assert desk.at("input_audio_buffer.timeout_triggered") == pytest.approx(finished + 4.0 + 6.0)
    assert triggered["audio_end_ms"] - triggered["audio_start_ms"] == 6000
    at = desk.kinds.index("input_audio_buffer.timeout_triggered")
    assert desk.kinds[at + 1 : at + 5] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert desk.last("input_audio_buffer.committed")["item_id"] == triggered["item_id"]
    desk.run(5)
    assert desk.done["output"][0]["content"][0]["transcript"].startswith("Are you still there?")


def test_s16_speech_stops_the_idle_timeout(desk: Any, speech_like: Any) -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 5000, "create_response": False}
    desk.configure(audio={"input": {"turn_detection": detection}})
    desk.speech_ms = 500
    desk.respond()
    desk.run(3)
    desk.append(speech_like(100))
    desk.run()
    assert not desk.of("input_audio_buffer.timeout_triggered")


def test_a_format_change_starts_a_new_buffer_on_the_same_clock(desk: Any, speech_like: Any) -> None:
    desk.append(bytes(48 * 1000))
    desk.configure(audio={"input": {"format": {"type": "audio/pcmu"}}})
    desk.append(sound.PCMU.encode(sound.tone(500, 8000)) + sound.PCMU.silence(300), fmt=sound.PCMU)
    assert desk.last("input_audio_buffer.speech_started")["audio_start_ms"] == 700
    assert desk.last("input_audio_buffer.speech_stopped")["audio_end_ms"] == 1700


def test_a_long_quiet_line_does_not_pile_up(make_desk: Any) -> None:
    for detector in ("energy", "none"):
        desk = make_desk(detector=detector)
        for _ in range(60):
            desk.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(48_000)).decode()})
        assert desk.session.hearing.appended_ms == 60_000
        assert len(desk.session.hearing._buffer) <= 48 * 21_000


def test_the_recogniser_is_given_the_turn_and_not_waited_for_by_the_events(desk: Any) -> None:
    desk.hears = [None]
    desk.speak(600, 400)
    desk.run(5)
    assert desk.kinds[-1] == "response.created"
    [command] = desk.other
    assert isinstance(command, Recognise)
    assert (command.rate_hz, len(command.samples)) == (24_000, 800 * 24)
    desk.hear(command, "what are your opening hours")
    desk.run(5)
    assert "Monday" in desk.done["output"][0]["content"][0]["transcript"]


def test_a_recogniser_that_never_answers_is_given_up(desk: Any) -> None:
    desk.hears = [None]
    desk.speak()
    desk.run()
    assert desk.done["status"] == "completed"


def test_reflex_answers_the_first_sound_with_a_tone_at_once(make_desk: Any, speech_like: Any) -> None:
    desk = make_desk(detector="reflex", reflex_ms=400)
    desk.append(bytes(48 * 100))
    desk.forget()
    desk.append(speech_like(20))
    sent_at = desk.now
    desk.run(0)
    assert desk.kinds[0] == "input_audio_buffer.speech_started"
    assert desk.times[-1] == sent_at
    audio = b"".join(base64.b64decode(event["delta"]) for event in desk.of("response.output_audio.delta"))
    assert len(audio) == 48 * 400
    assert desk.done["status"] == "completed"
    desk.append(speech_like(300) + bytes(48 * 80) + speech_like(20))
    assert len(desk.of("response.created")) == 1  # less than 100 ms of quiet
    desk.append(bytes(48 * 400))
    assert desk.kinds[-3:] == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    desk.append(speech_like(20))
    desk.run(1)
    assert len(desk.of("response.created")) == 2
