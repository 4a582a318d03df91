"""Speech beside the conversation, in a session that continues meanwhile."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from ariagent.realtime import events as ev

PCM = bytes(range(96))
DELTA = base64.b64encode(PCM).decode()


def ask(peer: Any, key: str = "k1", *, alone: bool = True) -> dict[str, Any]:
    peer.session.say_out_of_band(key, "Say exactly: hello", alone=alone)
    [request] = peer.hears()
    return dict(request)


def created(peer: Any, response_id: str = "resp_a", key: str = "k1") -> Any:
    response = {"id": response_id, "conversation_id": None, "metadata": {"ariagent": key}, "status": "in_progress"}
    return peer.says("response.created", response=response)


def test_the_request_is_out_of_band(peer: Any) -> None:
    response = ask(peer)["response"]
    assert response["conversation"] == "none"
    assert response["metadata"] == {"ariagent": "k1"}
    assert response["input"] == []
    assert "input" not in ask(peer, "k2", alone=False)["response"]


def test_its_audio_is_collected_and_nobody_hears_it(peer: Any) -> None:
    ask(peer)
    assert created(peer) == []
    for _ in range(2):
        assert peer.says("response.output_audio.delta", response_id="resp_a", item_id="i", delta=DELTA) == []
    done = {"response_id": "resp_a", "item_id": "i"}
    assert peer.says("response.output_audio.done", **done) == []
    assert peer.says("response.output_audio_transcript.done", transcript="Hello.", **done) == []
    usage = {"output_token_details": {"audio_tokens": 7}}
    ended = peer.says("response.done", response={"id": "resp_a", "status": "completed", "usage": usage})
    assert ended == [ev.OutOfBandEnded("k1", 2 * PCM, "Hello.", ev.Usage(output_audio=7))]
    assert peer.session.usage.output_audio == 7


def test_the_conversation_goes_on_beside_it(peer: Any) -> None:
    ask(peer)
    created(peer)
    peer.says("response.created", response={"id": "resp_b", "conversation_id": "conv", "metadata": None})
    assert peer.session.responses.active == "resp_b"
    [heard] = peer.says("response.output_audio.delta", response_id="resp_b", item_id="j", delta=DELTA)
    assert heard == ev.AudioArrived("j", PCM, "resp_b")
    peer.says("response.done", response={"id": "resp_a", "status": "completed"})
    assert peer.session.responses.active == "resp_b"


@pytest.mark.parametrize("status", ["failed", "cancelled", "incomplete"])
def test_half_of_it_is_none(peer: Any, status: str) -> None:
    ask(peer)
    created(peer)
    peer.says("response.output_audio.delta", response_id="resp_a", item_id="i", delta=DELTA)
    [ended] = peer.says("response.done", response={"id": "resp_a", "status": status})
    assert (ended.key, ended.audio) == ("k1", b"")


def test_one_that_is_refused_has_ended(peer: Any) -> None:
    event_id = ask(peer)["event_id"]
    ended = peer.says("error", error={"type": "invalid_request_error", "message": "no", "event_id": event_id})
    assert ended == [ev.RequestRefused("invalid_request_error", "no"), ev.OutOfBandEnded("k1", b"", "", ev.Usage())]


def test_errors_about_something_else_are_not_its_own(peer: Any) -> None:
    ask(peer)
    [refused] = peer.says("error", error={"type": "invalid_request_error", "message": "no", "event_id": None})
    assert isinstance(refused, ev.RequestRefused)


def test_a_response_of_somebody_elses_is_left_alone(peer: Any) -> None:
    ask(peer)
    assert created(peer, "resp_x", key="another") == []
    assert peer.says("response.done", response={"id": "resp_x", "status": "completed"}) != []


@pytest.mark.parametrize("delta", [None, 7, "not base64!"])
def test_malformed_audio_is_reported(make_peer: Callable[..., Any], peer: Any, delta: object) -> None:
    ask(peer)
    created(peer)
    [malformed] = peer.says("response.output_audio.delta", response_id="resp_a", item_id="i", delta=delta)
    assert isinstance(malformed, ev.InputMalformed)
