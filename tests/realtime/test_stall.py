"""A server that says nothing while a response is pending: when it is given up, and when it is not."""

import json
from typing import Any

import pytest

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.realtime.events import SILENT, Event, Fault, ResponseEnded, SessionFailed
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession, State

STALL_S = 10.0


class Peer:
    """A session that is ready at time 0, and what it sends."""

    def __init__(self) -> None:
        settings = RealtimeSettings(stall_timeout_s=STALL_S)
        self.session = RealtimeSession(SessionProfile.of(AgentSettings(), settings))
        self.says("session.created", 0.0, session={})
        pcm = {"type": "audio/pcm", "rate": 24000}
        self.says("session.updated", 0.0, session={"audio": {"input": {"format": pcm}, "output": {"format": pcm}}})
        assert self.session.state is State.READY
        self.sent()

    def says(self, kind: str, now: float, **fields: Any) -> list[Event]:
        return self.session.receive(json.dumps({"type": kind, **fields}), now)

    def sent(self) -> list[str]:
        return [json.loads(message)["type"] for message in self.session.take_outgoing()]

    def starts(self, now: float, response: str = "r1") -> None:
        self.says("response.created", now, response={"id": response})

    def delta(self, now: float) -> None:
        self.says("response.output_audio.delta", now, response_id="r1", item_id="i1", delta="AAAA")

    def done(self, now: float, response: str = "r1") -> list[Event]:
        return self.says("response.done", now, response={"id": response, "status": "completed"})

    def turn(self, now: float) -> None:
        self.says("input_audio_buffer.committed", now, item_id="u1")


@pytest.fixture
def peer() -> Peer:
    return Peer()


def test_nothing_is_owed_while_nobody_wants_anything(peer: Peer) -> None:
    assert peer.session.next_deadline() is None
    assert peer.session.tick(1000.0) == []


def test_a_response_that_stops_in_the_middle(peer: Peer) -> None:
    peer.starts(1.0)
    peer.delta(2.0)
    assert peer.session.next_deadline() == 2.0 + STALL_S
    assert peer.session.tick(2.0 + STALL_S - 0.01) == []
    [failed] = peer.session.tick(2.0 + STALL_S)
    assert isinstance(failed, SessionFailed)
    assert failed.fault is Fault.SILENT
    assert failed.cause == "the model fell silent for 10 s in its turn"
    assert peer.session.state is State.CLOSED
    assert peer.session.closed(1006, "") == []


def test_any_word_of_a_response_is_a_sign_of_life_but_no_other(peer: Peer) -> None:
    peer.starts(1.0)
    peer.says("response.output_audio_transcript.delta", 5.0)
    peer.says("rate_limits.updated", 9.0)
    peer.says("conversation.item.input_audio_transcription.completed", 10.0, item_id="u0", transcript="hello")
    assert peer.session.tick(11.0) == []
    assert peer.session.next_deadline() == 5.0 + STALL_S


def test_a_response_that_ended_owes_nothing(peer: Peer) -> None:
    peer.starts(1.0)
    peer.delta(1.5)
    peer.done(2.0)
    assert peer.session.next_deadline() is None
    assert peer.session.tick(100.0) == []


def test_a_request_that_is_never_answered(peer: Peer) -> None:
    peer.session.request_response(5.0)
    assert peer.sent() == ["response.create"]
    assert peer.session.tick(5.0 + STALL_S - 0.01) == []
    assert isinstance(peer.session.tick(5.0 + STALL_S)[0], SessionFailed)


@pytest.mark.parametrize("event_id", [None, "somebody_else"])
def test_an_error_about_something_else_is_no_reason_to_wait_for_ever(peer: Peer, event_id: str | None) -> None:
    error = {"type": "invalid_request_error", "code": "invalid_value", "message": "no", "event_id": event_id}
    peer.session.request_response(5.0)
    peer.says("error", 6.0, error=error)
    assert peer.session.tick(5.0 + STALL_S - 0.01) == []
    assert isinstance(peer.session.tick(5.0 + STALL_S)[0], SessionFailed)


def test_an_error_while_a_turn_waits_for_its_answer_leaves_it_owed(peer: Peer) -> None:
    peer.turn(1.0)
    peer.says("error", 2.0, error={"code": "response_cancel_not_active", "message": "nothing to cancel"})
    assert peer.session.tick(2.0 + STALL_S / 2) == []
    assert peer.sent() == ["response.create"]


def test_a_response_that_was_refused_and_asked_for_again_is_owed_from_the_first_time_on(peer: Peer) -> None:
    peer.session.request_response(5.0)
    [create] = peer.session.take_outgoing()
    error = {"code": "server_error", "message": "no", "event_id": json.loads(create)["event_id"]}
    peer.says("error", 6.0, error=error)
    assert peer.sent() == ["response.create"]
    assert peer.session.tick(5.0 + STALL_S - 0.01) == []
    assert isinstance(peer.session.tick(5.0 + STALL_S)[0], SessionFailed)


def test_a_caller_who_interrupts_what_has_not_begun_is_owed_nothing_while_they_speak(peer: Peer) -> None:
    peer.session.request_response(5.0)
    peer.session.interrupt([], 5.1)
    assert peer.session.tick(100.0) == []
    peer.turn(101.0)
    assert peer.session.next_deadline() == 101.0 + STALL_S / 2


def test_a_turn_that_nobody_answers_is_asked_about_before_the_server_is_given_up(peer: Peer) -> None:
    peer.turn(1.0)
    asked_at = peer.session.next_deadline()
    assert asked_at == 1.0 + STALL_S / 2
    assert peer.session.tick(asked_at) == []
    assert peer.sent() == ["response.create"]
    assert peer.session.tick(1.0 + STALL_S - 0.01) == []
    assert isinstance(peer.session.tick(1.0 + STALL_S)[0], SessionFailed)


def test_a_turn_that_is_answered_when_asked_about(peer: Peer) -> None:
    peer.turn(1.0)
    peer.session.tick(1.0 + STALL_S / 2)
    peer.starts(6.5)
    peer.delta(6.9)
    peer.done(7.0)
    assert peer.session.tick(100.0) == []


def test_a_caller_who_speaks_on_takes_back_what_their_turn_was_owed(peer: Peer) -> None:
    peer.turn(1.0)
    peer.says("input_audio_buffer.speech_started", 2.0, item_id="u2", audio_start_ms=1)
    assert peer.session.tick(100.0) == []
    assert peer.sent() == []


def test_a_response_with_nothing_in_it_is_asked_for_again_then_the_session_is_given_up(peer: Peer) -> None:
    peer.turn(1.0)
    peer.starts(1.2)
    [ended] = peer.done(1.5)
    assert isinstance(ended, ResponseEnded)
    assert (ended.status, ended.reason) == ("completed", SILENT)
    assert peer.sent() == ["response.create"]
    peer.starts(1.7, "r2")
    _, failed = peer.done(2.0, "r2")
    assert failed == SessionFailed(Fault.SILENT, "the model's responses are empty")
    assert peer.session.response_pending


def test_one_with_something_in_it_begins_the_count_anew(peer: Peer) -> None:
    for number in range(4):
        peer.starts(number + 0.1, f"s{number}")
        assert len(peer.done(number + 0.2, f"s{number}")) == 1
        assert peer.sent() == ["response.create"]
        peer.starts(number + 0.3)
        peer.delta(number + 0.4)
        [ended] = peer.done(number + 0.5)
        assert isinstance(ended, ResponseEnded)
        assert ended.reason == ""


@pytest.mark.parametrize(("kind", "counts"), [("function_call", True), ("mcp_call", True), ("message", False)])
def test_what_is_something(peer: Peer, kind: str, counts: bool) -> None:
    peer.starts(1.0)
    peer.says("response.output_item.added", 1.1, response_id="r1", item={"id": "i1", "type": kind})
    [ended] = peer.done(1.2)
    assert isinstance(ended, ResponseEnded)
    assert ended.reason == ("" if counts else SILENT)


def test_one_that_the_caller_interrupted_may_be_empty(peer: Peer) -> None:
    peer.starts(1.0)
    peer.session.interrupt([], 1.1)
    peer.sent()
    [ended] = peer.done(1.2)
    assert isinstance(ended, ResponseEnded)
    assert ended.reason == ""
    assert peer.sent() == []
