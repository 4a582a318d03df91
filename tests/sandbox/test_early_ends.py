"""Turns that end early: a caller who pauses and continues, answers that nobody hears, and their price."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from ariagent.sandbox.bill import Bill

EARLY = {
    "type": "server_vad",
    "silence_duration_ms": 200,
    "create_response": True,
    "interrupt_response": False,
}
SCENARIO = """
rules:
  - name: hours
    when: {said: what are your opening hours}
    then: From nine to five.
  - name: second turn
    when: {said: goodbye, turn: 2}
    then: Goodbye!
otherwise: I beg your pardon, what did you say?
"""


@pytest.fixture
def early(make_desk: Any) -> Any:
    """A session whose turns end after 200 ms of silence."""
    desk = make_desk(SCENARIO, think_ms=250, billed=True)
    desk.configure(audio={"input": {"turn_detection": EARLY}}, instructions="x" * 400)
    return desk


def cancel(desk: Any) -> None:
    """Cancel the running response and delete what it has said so far, as for an answer that nobody heard."""
    response = desk.last("response.created")["response"]["id"]
    desk.send({"type": "response.cancel", "response_id": response})
    for event in desk.of("response.output_item.added"):
        if event["response_id"] == response:
            desk.send({"type": "conversation.item.delete", "item_id": event["item"]["id"]})


def test_a_pause_longer_than_the_early_silence_ends_the_turn_and_is_answered_at_once(early: Any) -> None:
    early.hears = ["what are your"]
    early.speak(600, 260)
    stopped, created = early.at("input_audio_buffer.speech_stopped"), early.at("response.created")
    assert created == stopped
    early.run(0.3)
    assert early.at("response.output_audio.delta", 0) == pytest.approx(created + 0.25)


def test_a_caller_who_continues_has_a_turn_and_an_item_of_its_own(early: Any) -> None:
    early.hears = ["what are your", "opening hours", "what are your opening hours"]
    early.speak(600, 260)
    cancel(early)
    early.speak(600, 260)
    early.run()
    kinds = ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed")
    assert [event["type"] for event in early.of(*kinds)] == [*kinds, *kinds]
    first, second = (event["item_id"] for event in early.of("input_audio_buffer.committed"))
    assert early.last("input_audio_buffer.committed")["previous_item_id"] == first != second
    assert [event["response"]["status"] for event in early.of("response.done")] == ["cancelled", "completed"]


def test_the_model_hears_both_parts_of_a_sentence_as_one(early: Any) -> None:
    early.hears = ["what are your", "goodbye", "what are your opening hours"]
    early.speak(600, 260)
    cancel(early)
    early.speak(600, 260)
    early.run()
    assert early.last("response.output_audio_transcript.done")["transcript"] == "From nine to five."


def test_the_second_part_is_answered_where_the_whole_means_nothing(early: Any) -> None:
    early.hears = ["hm", "what are your opening hours", "hm what"]
    early.speak(600, 260)
    cancel(early)
    early.speak(600, 260)
    early.run()
    assert early.last("response.output_audio_transcript.done")["transcript"] == "From nine to five."


def test_parts_of_a_sentence_count_as_one_turn(early: Any) -> None:
    early.hears = ["hm", "hm", "", "goodbye"]
    early.speak(600, 260)
    cancel(early)
    early.speak(600, 260)
    early.run()
    early.speak(600, 260)
    early.run()
    assert early.last("response.output_audio_transcript.done")["transcript"] == "Goodbye!"


def test_a_sentence_after_an_answer_or_a_long_silence_is_heard_alone(early: Any) -> None:
    early.speak(600, 260)
    early.run()  # answered
    early.speak(600, 260)
    cancel(early)
    early.append(bytes(48 * 4000))
    early.speak(600, 260)
    assert len(early.of("input_audio_buffer.committed")) == 3
    assert early.session.state.together == {}


def test_an_answer_waits_until_the_whole_sentence_is_recognised(early: Any) -> None:
    early.hears = ["what are your", "goodbye", None]
    early.speak(600, 260)
    cancel(early)
    early.speak(600, 260)
    early.run(2.0)
    assert not [e for e in early.of("response.done") if e["response"]["status"] == "completed"]
    [command] = early.other
    early.hear(command, "what are your opening hours")
    early.run()
    assert early.last("response.output_audio_transcript.done")["transcript"] == "From nine to five."


def test_a_response_that_is_cancelled_before_its_first_sound_costs_its_input(early: Any) -> None:
    early.speak(600, 260)
    cancel(early)
    assert early.done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    usage = early.done["usage"]
    assert usage["output_tokens"] == 0
    assert usage["input_token_details"]["text_tokens"] >= 100  # instructions of 400 letters
    assert usage["input_token_details"]["audio_tokens"] == 8  # 0.8 s of the caller
    assert usage["total_tokens"] == usage["input_tokens"]


def test_a_cancelled_response_costs_what_was_generated_until_the_cancel(early: Any) -> None:
    early.speech_ms = 6000
    early.speak(600, 260)
    early.run(0.25 + 0.2)  # six times faster than real time
    generated_ms = sum(len(event["delta"]) * 3 // 4 / 48 for event in early.of("response.output_audio.delta"))
    cancel(early)
    assert 1000 < generated_ms < 2000
    spent = early.done["usage"]["output_token_details"]
    assert spent["audio_tokens"] == pytest.approx(generated_ms / 50, abs=1)
    assert spent["text_tokens"] > 0


def test_a_partial_answer_can_be_deleted_before_and_after_its_end(early: Any) -> None:
    early.speech_ms = 3000
    early.speak(600, 260)
    early.run(0.4)
    answer = early.last("response.output_item.added")["item"]["id"]
    early.send({"type": "conversation.item.delete", "item_id": answer})  # it is still generated
    assert early.last("conversation.item.deleted")["item_id"] == answer
    early.run()
    assert early.done["status"] == "completed"
    assert answer not in [item.id for item in early.session.conversation]
    assert not [event for event in early.of("conversation.item.done") if event["item"]["id"] == answer]


def test_a_whole_answer_that_nobody_heard_can_be_deleted_and_its_cancel_is_refused(early: Any) -> None:
    early.speech_ms = 300
    early.speak(600, 260)
    early.run(1.0)
    assert early.done["status"] == "completed"
    cancel(early)
    assert early.error["code"] == "response_cancel_not_active"
    assert [item.role for item in early.session.conversation] == ["user"]
    before = early.done["usage"]["input_tokens"]
    early.speak(600, 260)
    early.run()
    # The next response is made from both parts of the caller's sentence, and from no answer.
    assert 8 <= early.done["usage"]["input_tokens"] - before <= 9


def test_the_bill_has_every_response_and_the_items_that_were_deleted(early: Any) -> None:
    early.speech_ms = 300
    early.speak(600, 260)
    early.run(1.0)
    cancel(early)  # too late: it is only deleted
    early.speak(600, 260)
    cancel(early)
    early.speak(600, 260)
    early.run()
    bill = Bill()
    for event in early.events:
        bill.note_sent("other", event)
        bill.note_sent("sess_1", event)
    entries = [entry for entry in bill.entries() if entry["session"] == "sess_1"]
    assert [(entry["status"], len(entry["deleted"])) for entry in entries] == [
        ("completed", 1),
        ("cancelled", 0),
        ("completed", 0),
    ]
    usages = [event["response"]["usage"] for event in early.of("response.done")]
    assert [(e["input_tokens"], e["output_tokens"]) for e in entries] == [
        (usage["input_tokens"], usage["output_tokens"]) for usage in usages
    ]


async def test_the_bill_can_be_read_over_http(make_place: Any) -> None:
    place = await make_place(billed=True, api_keys=("secret",))
    client = await place.client(key="secret")
    await client.send({"type": "response.create"})
    done = await client.until("response.done")

    def read(key: str) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        url = place.server.base_url.removesuffix("/v1") + "/sandbox/bill"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return json.load(answer)

    [entry] = (await asyncio.to_thread(read, "secret"))["responses"]
    assert entry["response"] == done["response"]["id"]
    assert entry["input_tokens"] == done["response"]["usage"]["input_tokens"] > 0
    with pytest.raises(urllib.error.HTTPError, match="401"):
        await asyncio.to_thread(read, "wrong")
