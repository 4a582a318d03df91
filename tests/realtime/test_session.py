"""The session against the texts of a server, at literal times."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ariagent.config import AgentSettings, RealtimeSettings, ServerVad
from ariagent.realtime import events as ev
from ariagent.realtime.gate import SERVER_RESPONSE_WAIT_S
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.responses import KEPT, LONGEST_TURN_S, MOST_CALLS, MOST_INCOMPLETE
from ariagent.realtime.session import _HANDLERS, PIECE_BYTES, Heard, RealtimeSession, State
from ariagent.realtime.truncation import ACKNOWLEDGED_WAIT_S as TRUNCATED_WAIT_S
from ariagent.realtime.truncation import TRIES as TRUNCATE_TRIES
from tests.examples import examples

MakePeer = Callable[..., Any]

PCM = bytes(range(96))

USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


class TestBeginning:
    def test_nothing_is_sent_before_the_server_speaks(self, make_peer: MakePeer) -> None:
        assert make_peer().hears() == []

    def test_created_is_answered_with_the_configuration(self, make_peer: MakePeer) -> None:
        peer = make_peer()
        assert peer.says("session.created", session={"id": "s"}) == []
        (update,) = peer.hears()
        assert update["type"] == "session.update"
        assert update["event_id"]
        assert update["session"] == peer.session.profile.session()
        assert peer.session.state is State.CONFIGURING

    def test_the_acknowledged_configuration_makes_it_ready(self, make_peer: MakePeer) -> None:
        peer = make_peer()
        peer.says("session.created", session={"id": "s"})
        assert peer.says("session.updated", session=peer.acknowledged()) == [
            ev.SessionReady("sess_1", 1795360664.0, 500.0)
        ]
        assert peer.session.state is State.READY

    @pytest.mark.parametrize("expires_at", [None, "soon", -1, 10**400])
    def test_a_server_need_not_say_when_it_expires(self, make_peer: MakePeer, expires_at: object) -> None:
        peer = make_peer()
        peer.says("session.created", session={"id": "s"})
        (ready,) = peer.says("session.updated", session=peer.acknowledged(expires_at=expires_at))
        assert ready.expires_at == 0.0

    def test_a_second_created_does_not_configure_again(self, make_peer: MakePeer) -> None:
        peer = make_peer()
        peer.says("session.created", session={"id": "s"})
        peer.hears()
        peer.says("session.created", session={"id": "s"})
        assert peer.hears() == []

    def test_updated_before_we_asked_is_not_ours(self, make_peer: MakePeer) -> None:
        peer = make_peer()
        assert peer.says("session.updated", session=peer.acknowledged()) == []
        assert peer.session.state is State.CONNECTED

    def test_a_later_update_is_no_second_beginning(self, peer: Any) -> None:
        assert peer.says("session.updated", session=peer.acknowledged()) == []

    def test_a_refused_configuration_ends_it_and_names_the_parameter(self, make_peer: MakePeer) -> None:
        peer = make_peer()
        peer.says("session.created", session={"id": "s"})
        (failed,) = peer.objects("invalid_value", "Invalid value: 'x'", param="session.audio.output.voice")
        assert failed.fault is ev.Fault.REQUEST
        assert "Invalid value: 'x' (session.audio.output.voice)" in failed.cause
        assert failed.remedy
        assert peer.session.state is State.CLOSED

    def test_another_audio_format_than_asked_for_ends_it(self, make_peer: MakePeer) -> None:
        peer = make_peer(encoding="pcmu")
        peer.says("session.created", session={"id": "s"})
        session = peer.acknowledged()
        session["audio"]["output"]["format"] = {"type": "audio/pcm", "rate": 24000}
        (failed,) = peer.says("session.updated", session=session)
        assert (failed.fault, failed.remedy) == (
            ev.Fault.REQUEST,
            "Have the model's server speak audio/pcm with rate 24000, audio/pcmu or audio/pcma, the same both ways",
        )
        assert "audio/pcm" in failed.cause

    def test_a_response_wanted_early_is_asked_for_when_it_is_ready(self, make_peer: MakePeer) -> None:
        peer = make_peer()
        peer.session.request_response(0.0, "Say hello")
        peer.says("session.created", session={"id": "s"})
        assert peer.hears_types() == ["session.update"]
        assert peer.session.next_deadline() is None
        peer.says("session.updated", session=peer.acknowledged())
        (create,) = peer.hears()
        assert (create["type"], create["response"]) == ("response.create", {"instructions": "Say hello"})


def test_half_of_a_surrogate_pair_reaches_nobody(peer: Any) -> None:
    """The words of a call are written down, and sent to supervisors, as UTF-8."""
    caller = {"item_id": "item_u", "transcript": "A table \ud83d"}
    happened = peer.says("conversation.item.input_audio_transcription.completed", **caller)
    peer.starts_response()
    agent = {"item_id": "item_a", "transcript": "Of course \ud83d", "response_id": "resp_1"}
    happened += peer.says("response.output_audio_transcript.done", **agent)
    item = {"type": "function_call", "call_id": "call_\ud83d", "name": "book\ud83d", "arguments": '{"a": "\ud83d"}'}
    peer.says("response.output_item.done", response_id="resp_1", item=item)
    happened += peer.ends_response(status_details={"reason": "\ud83d"})
    assert happened == [
        ev.CallerTranscribed("item_u", "A table \ufffd"),
        ev.AgentTranscribed("item_a", "Of course \ufffd", "resp_1"),
        ev.ResponseEnded(
            "resp_1",
            "completed",
            "\ufffd",
            "",
            ev.Usage(),
            (ev.ToolCall("call_\ufffd", "book\ufffd", '{"a": "\ufffd"}'),),
        ),
    ]


def test_a_whole_turn_in_the_order_of_the_wire(peer: Any) -> None:
    happened: list[ev.Event] = []
    happened += peer.says("input_audio_buffer.speech_started", audio_start_ms=1200, item_id="item_u")
    happened += peer.says("input_audio_buffer.speech_stopped", audio_end_ms=3400, item_id="item_u")
    happened += peer.says("input_audio_buffer.committed", previous_item_id="item_0", item_id="item_u")
    happened += peer.says("conversation.item.added", previous_item_id="item_0", item={"id": "item_u"})
    happened += peer.says("conversation.item.done", previous_item_id="item_0", item={"id": "item_u"})
    happened += peer.starts_response()
    happened += peer.says("response.output_item.added", response_id="resp_1", item={"id": "item_a"})
    happened += peer.says("response.content_part.added", item_id="item_a", part={"type": "audio"})
    happened += peer.says("response.output_audio_transcript.delta", item_id="item_a", delta="Good ")
    happened += peer.speaks(PCM)
    happened += peer.speaks(PCM[:10])
    happened += peer.says("response.output_audio.done", response_id="resp_1", item_id="item_a")
    happened += peer.says("response.output_audio_transcript.done", item_id="item_a", transcript="Good morning.")
    happened += peer.says("response.output_item.done", response_id="resp_1", item={"type": "message", "id": "item_a"})
    happened += peer.ends_response(usage=USAGE)
    happened += peer.says(
        "conversation.item.input_audio_transcription.completed",
        item_id="item_u",
        transcript="Good morning",
        usage={"type": "duration", "seconds": 2},
    )
    happened += peer.says("rate_limits.updated", rate_limits=[])
    usage = ev.Usage(119, 13, 60, 4, 30, 91)
    assert happened == [
        ev.SpeechStarted("item_u", 1200.0),
        ev.SpeechStopped("item_u", 3400.0),
        ev.CallerTurnEnded("item_u", "item_0"),
        ev.ResponseStarted("resp_1", "item_u"),
        ev.AudioArrived("item_a", PCM, "resp_1"),
        ev.AudioArrived("item_a", PCM[:10], "resp_1"),
        ev.AudioEnded("item_a", "resp_1"),
        ev.AgentTranscribed("item_a", "Good morning."),
        ev.ResponseEnded("resp_1", "completed", "", "", usage),
        ev.CallerTranscribed("item_u", "Good morning"),
    ]
    assert peer.hears() == []
    assert peer.session.usage == usage


def test_transcriptions_may_fail_and_turns_may_be_the_first(peer: Any) -> None:
    failed = peer.says("conversation.item.input_audio_transcription.failed", item_id="u", error={"code": "x"})
    assert failed == [ev.CallerTranscribed("u", None)]
    assert peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u") == [
        ev.CallerTurnEnded("u", None)
    ]


class TestSending:
    @pytest.mark.parametrize("role", ["user", "system"])
    def test_text_is_added_without_asking_for_speech(self, peer: Any, role: str) -> None:
        peer.session.add_text(role, "Grüß Gott")
        (create,) = peer.hears()
        del create["event_id"]
        content = [{"type": "input_text", "text": "Grüß Gott"}]
        assert create == {
            "type": "conversation.item.create",
            "item": {"type": "message", "role": role, "content": content},
        }

    def test_the_result_of_a_tool(self, peer: Any) -> None:
        peer.session.answer_tool("call_7", '{"ok": true}')
        (create,) = peer.hears()
        assert create["item"] == {"type": "function_call_output", "call_id": "call_7", "output": '{"ok": true}'}

    def test_each_message_has_an_id_of_its_own(self, peer: Any) -> None:
        for _ in range(3):
            peer.session.add_text("user", "x")
        assert len({message["event_id"] for message in peer.hears()}) == 3

    def test_messages_are_taken_once_and_are_utf8(self, peer: Any) -> None:
        peer.session.add_text("user", "\ud800 broken")
        (message,) = peer.session.take_outgoing()
        message.decode()
        assert peer.session.take_outgoing() == []


class TestResponses:
    def test_a_response_is_asked_for_at_once_when_nothing_runs(self, peer: Any) -> None:
        peer.session.request_response(0.0)
        (create,) = peer.hears()
        assert (create["type"], create["response"]) == ("response.create", {})

    def test_a_response_that_may_call_no_function_is_asked_for_as_such(self, peer: Any) -> None:
        peer.starts_response()
        peer.session.request_response(0.0, tools=False)
        peer.ends_response()
        (create,) = peer.hears()
        assert create["response"] == {"tool_choice": "none"}

    def test_not_while_one_runs_but_after_it(self, peer: Any) -> None:
        peer.starts_response()
        peer.session.request_response(0.0)
        assert peer.hears() == []
        peer.ends_response()
        assert peer.hears_types() == ["response.create"]

    def test_the_servers_own_answer_to_a_turn_comes_first(self, peer: Any) -> None:
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u")
        peer.session.request_response(0.0, "Say goodbye")
        peer.starts_response()
        assert peer.hears() == []
        peer.ends_response()
        assert peer.hears_types() == ["response.create"]

    def test_the_servers_own_answer_is_also_that_to_what_came_before_it(self, peer: Any) -> None:
        """The result of a function, say: the answer to the caller's turn sees it too."""
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u")
        peer.session.request_response(0.0)
        peer.starts_response()
        peer.ends_response()
        assert peer.hears() == []

    def test_what_a_discarded_answer_was_to_bring_is_asked_for_again(self, peer: Any) -> None:
        peer.says("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        peer.says("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id="u")
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u")
        peer.session.request_response(0.0)
        peer.starts_response()
        peer.session.dismiss("u", 0.0)
        peer.ends_response(status="cancelled")
        assert peer.hears_types()[-1] == "response.create"

    def test_nothing_is_asked_for_while_the_caller_speaks(self, peer: Any) -> None:
        peer.says("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        peer.session.request_response(0.0)
        assert peer.hears() == []
        assert peer.session.next_deadline() == LONGEST_TURN_S
        peer.session.tick(LONGEST_TURN_S)
        assert peer.hears_types() == ["response.create"]

    def test_what_was_asked_for_meanwhile_is_in_the_answer_to_their_turn(self, peer: Any) -> None:
        """A key that was pressed, say. Nothing may slip out between the end of the turn and its commit."""
        peer.says("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        peer.session.request_response(0.0)
        peer.says("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id="u")
        assert peer.hears() == []
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u")
        peer.starts_response()
        peer.ends_response()
        assert peer.hears() == []

    def test_it_is_asked_for_in_time_when_no_answer_comes(self, peer: Any) -> None:
        peer.says("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        peer.session.request_response(0.0)
        peer.says("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id="u")
        assert peer.session.next_deadline() == SERVER_RESPONSE_WAIT_S
        peer.session.tick(SERVER_RESPONSE_WAIT_S)
        assert peer.hears_types() == ["response.create"]

    def test_a_server_that_does_not_answer_turns_is_not_waited_for(self, make_peer: MakePeer) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(create_response=False))).ready()
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u")
        peer.session.request_response(0.0)
        assert peer.hears_types() == ["response.create"]

    def test_a_lost_race_is_run_again_after_the_winner(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        (create,) = peer.hears()
        peer.starts_response("servers")
        (refused,) = peer.objects("conversation_already_has_active_response", event_id=create["event_id"])
        assert refused.code == "conversation_already_has_active_response"
        assert peer.hears() == []
        peer.ends_response("servers")
        (again,) = peer.hears()
        assert again["response"] == {"instructions": "Say hello"}

    def test_a_race_lost_before_the_winner_is_announced(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        peer.hears()
        peer.objects("conversation_already_has_active_response")
        peer.starts_response("servers")
        assert peer.hears() == []
        peer.ends_response("servers")
        (create,) = peer.hears()
        assert create["response"] == {"instructions": "Say hello"}

    def test_a_race_lost_to_a_response_that_is_over_is_run_again_in_time(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        peer.hears()
        peer.now = 0.1
        peer.objects("conversation_already_has_active_response")
        deadline = peer.session.next_deadline()
        assert deadline is not None
        peer.session.tick(deadline - 0.01)
        assert peer.hears() == []
        peer.session.tick(deadline)
        assert peer.hears_types() == ["response.create"]

    def test_an_opening_that_was_granted_is_not_said_twice(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        peer.hears()
        peer.starts_response("ours")
        peer.objects("conversation_already_has_active_response")  # the server's own create, so no event of ours
        peer.ends_response("ours")
        (create,) = peer.hears()
        assert create["response"] == {}

    def test_a_turn_whose_answer_lost_the_race_is_answered_after_the_winner(self, peer: Any) -> None:
        peer.starts_response("ours")
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u")
        peer.objects("conversation_already_has_active_response")
        assert peer.hears() == []
        peer.ends_response("ours")
        (create,) = peer.hears()
        assert create["response"] == {}

    def test_one_out_of_band_does_not_take_the_turn(self, peer: Any) -> None:
        assert peer.starts_response("summary", conversation_id=None) == []
        peer.session.request_response(0.0)
        assert peer.hears_types() == ["response.create"]

    @pytest.mark.parametrize(
        ("status", "details", "reason", "message"),
        [
            ("cancelled", {"type": "cancelled", "reason": "turn_detected"}, "turn_detected", ""),
            ("incomplete", {"reason": "max_output_tokens"}, "max_output_tokens", ""),
            ("failed", {"error": {"code": "rate_limit_exceeded", "message": "slow"}}, "rate_limit_exceeded", "slow"),
            ("failed", {"error": {"type": "server_error", "code": None}}, "server_error", ""),
            ("failed", None, "", ""),
            ("failed", {"error": None, "reason": None}, "", ""),
        ],
    )
    def test_one_that_did_not_complete_says_why(
        self, peer: Any, status: str, details: object, reason: str, message: str
    ) -> None:
        peer.starts_response()
        assert peer.ends_response(status=status, status_details=details) == [
            ev.ResponseEnded("resp_1", status, reason, message, ev.Usage())
        ]

    @pytest.mark.parametrize("usage", [None, {}, [], {"input_token_details": None}, {"output_token_details": 3}])
    def test_usage_may_be_missing(self, peer: Any, usage: object) -> None:
        (ended,) = peer.ends_response(status="cancelled", usage=usage)
        assert ended.usage == ev.Usage()

    @pytest.mark.parametrize("count", [-5, 2**53, 256_001])
    def test_use_that_cannot_be_is_malformed_and_the_response_ends(self, peer: Any, count: int) -> None:
        peer.starts_response()
        ended, malformed = peer.ends_response(usage={"input_token_details": {"text_tokens": count}})
        assert (ended.usage, malformed) == (ev.Usage(), ev.InputMalformed("usage", 0))
        assert peer.session.usage == ev.Usage()
        assert peer.session.responses.active is None

    def test_usage_adds_up(self, peer: Any) -> None:
        for number in range(3):
            peer.starts_response(f"r{number}")
            peer.ends_response(f"r{number}", usage=USAGE)
        assert peer.session.usage.output_audio == 3 * 91

    def test_use_of_a_response_that_never_began_or_was_counted_is_not_added(self, peer: Any) -> None:
        peer.starts_response()
        for response_id in ("resp_1", "resp_1", "resp_2"):
            peer.ends_response(response_id, usage=USAGE)
        assert peer.session.usage.output_audio == 91


def failure(code: str = "rate_limit_exceeded") -> dict[str, Any]:
    """``status_details`` of a response that failed."""
    return {"type": "failed", "error": {"type": "tokens", "code": code, "message": "slow down"}}


class TestFailures:
    """A response that fails is silence to the caller: it is asked for once more, then the model is given up."""

    def fails(self, peer: Any, response_id: str, code: str = "rate_limit_exceeded") -> list[Any]:
        peer.starts_response(response_id)
        happened: list[Any] = peer.ends_response(response_id, status="failed", status_details=failure(code))
        return happened

    def test_the_first_is_asked_for_again(self, peer: Any) -> None:
        assert [type(event) for event in self.fails(peer, "r1")] == [ev.ResponseEnded]
        (create,) = peer.hears()
        assert (create["type"], create["response"]) == ("response.create", {})
        assert peer.session.state is State.READY

    def test_the_words_that_were_asked_for_are_not_lost(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        peer.hears()
        self.fails(peer, "r1")
        (again,) = peer.hears()
        assert again["response"] == {"instructions": "Say hello"}

    def test_what_is_wanted_by_then_is_asked_for_instead(self, peer: Any) -> None:
        peer.starts_response("r1")
        peer.session.request_response(0.0, "Say goodbye")
        peer.ends_response("r1", status="failed", status_details=failure())
        (create,) = peer.hears()
        assert create["response"] == {"instructions": "Say goodbye"}
        peer.starts_response("r2")
        peer.ends_response("r2")
        assert peer.hears() == []

    def test_the_second_in_a_row_ends_the_session(self, peer: Any) -> None:
        self.fails(peer, "r1")
        peer.hears()
        ended, failed = self.fails(peer, "r2")
        assert ended.status == "failed"
        assert failed == ev.SessionFailed(
            ev.Fault.LIMIT,
            "the model does not respond: rate_limit_exceeded: slow down",
            "Ask for a higher limit or lower max_calls",
        )
        assert peer.session.state is State.CLOSED
        assert peer.session.response_pending  # to whoever takes its place
        assert peer.hears() == []
        assert peer.session.closed(1000, "") == []

    def test_no_quota_is_not_asked_twice(self, peer: Any) -> None:
        _, failed = self.fails(peer, "r1", "insufficient_quota")
        assert (failed.fault, "billing" in failed.remedy) == (ev.Fault.LIMIT, True)
        assert peer.hears() == []

    @pytest.mark.parametrize("status", ["completed", "cancelled", "incomplete"])
    def test_any_other_end_in_between_forgives_it(self, peer: Any, status: str) -> None:
        self.fails(peer, "r1")
        peer.starts_response("r2")
        peer.speaks(bytes(2), response_id="r2")
        peer.ends_response("r2", status=status)
        assert [type(event) for event in self.fails(peer, "r3")] == [ev.ResponseEnded]
        assert peer.session.state is State.READY

    def test_responses_that_break_off_before_they_bring_anything_count(self, peer: Any) -> None:
        filtered = {"status": "incomplete", "status_details": {"reason": "content_filter"}}
        for number in range(MOST_INCOMPLETE):
            peer.starts_response(f"r{number}")
            [ended] = peer.ends_response(f"r{number}", **filtered)
            assert (ended.reason, ended.unwanted) == ("content_filter", False)
        peer.starts_response("r9")
        _, failed = peer.ends_response("r9", **filtered)
        assert failed.cause == "the model does not respond: content_filter: "

    def test_calls_of_one_that_broke_off_are_told_why_they_were_not_run(self, peer: Any) -> None:
        peer.starts_response()
        call = {"type": "function_call", "call_id": "c", "name": "book", "arguments": "{}", "status": "completed"}
        peer.says("response.output_item.done", response_id="resp_1", item=call)
        [ended] = peer.ends_response(status="incomplete")
        assert ended.tool_calls == ()
        [output] = peer.hears()
        assert json.loads(output["item"]["output"]) == {
            "error": "the response broke off before it was complete; this was not done"
        }

    def test_a_request_that_is_refused_counts(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        (create,) = peer.hears()
        (refused,) = peer.objects("rate_limit_exceeded", "slow", event_id=create["event_id"])
        assert refused == ev.RequestRefused("rate_limit_exceeded", "slow")
        (again,) = peer.hears()
        assert again["response"] == {"instructions": "Say hello"}
        refused, failed = peer.objects("rate_limit_exceeded", "slow", event_id=again["event_id"])
        assert isinstance(refused, ev.RequestRefused)
        assert (failed.fault, failed.cause) == (
            ev.Fault.LIMIT,
            "the model does not respond: rate_limit_exceeded: slow",
        )
        assert peer.hears() == []

    def test_refused_and_then_failed_are_two_in_a_row(self, peer: Any) -> None:
        peer.session.request_response(0.0)
        (create,) = peer.hears()
        peer.objects("server_error", event_id=create["event_id"])
        _, failed = self.fails(peer, "r1", "server_error")
        assert failed.fault is ev.Fault.SERVER

    def test_a_refusal_of_no_quota_ends_it_at_once(self, peer: Any) -> None:
        peer.session.request_response(0.0)
        (create,) = peer.hears()
        events = peer.objects("insufficient_quota", event_id=create["event_id"])
        assert [type(event) for event in events] == [ev.RequestRefused, ev.SessionFailed]

    @pytest.mark.parametrize("event_id", [None, "somebody_else"])
    def test_a_refusal_of_something_else_does_not_count(self, peer: Any, event_id: str | None) -> None:
        peer.session.request_response(0.0)
        peer.hears()
        for _ in range(5):
            (refused,) = peer.objects("invalid_value", event_id=event_id)
            assert isinstance(refused, ev.RequestRefused)
        assert peer.hears() == []
        assert peer.session.state is State.READY

    def test_a_lost_race_is_no_failure(self, peer: Any) -> None:
        peer.session.request_response(0.0)
        for number in range(5):
            (create,) = peer.hears()
            peer.objects("conversation_already_has_active_response", event_id=create["event_id"])
            peer.ends_response(f"winner{number}")
        assert peer.session.state is State.READY

    def test_one_that_the_caller_interrupted_is_not_asked_for_again(self, make_peer: MakePeer) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(interrupt_response=True))).ready()
        peer.starts_response("r1")
        peer.session.interrupt([], 0.0)
        events = peer.ends_response("r1", status="failed", status_details=failure())
        assert [type(event) for event in events] == [ev.ResponseEnded]
        assert peer.hears() == []


def function_call(name: str = "end_call", status: str = "completed", call_id: str = "call_1") -> dict[str, Any]:
    return {"type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": "{}"}


class TestToolCalls:
    def test_are_told_when_their_response_completes(self, peer: Any) -> None:
        peer.starts_response()
        for call_id in ("call_1", "call_2"):
            item = function_call(call_id=call_id)
            assert peer.says("response.output_item.done", response_id="resp_1", item=item) == []
        (ended,) = peer.ends_response()
        assert ended.tool_calls == (
            ev.ToolCall("call_1", "end_call", "{}"),
            ev.ToolCall("call_2", "end_call", "{}"),
        )

    @pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
    def test_are_refused_and_not_run_when_it_does_not(self, peer: Any, status: str) -> None:
        peer.starts_response()
        for call_id in ("call_1", "call_2"):
            peer.says("response.output_item.done", response_id="resp_1", item=function_call(call_id=call_id))
        (ended,) = peer.ends_response(status=status)
        assert ended.tool_calls == ()
        self.assert_refused(peer.hears(), "call_1", "call_2")

    @pytest.mark.parametrize("way", ["interrupt", "cancel"])
    def test_are_refused_and_not_run_when_the_caller_interrupted(self, peer: Any, way: str) -> None:
        peer.starts_response()
        peer.says("response.output_item.done", response_id="resp_1", item=function_call())
        getattr(peer.session, way)([], 0.0)
        peer.hears()
        (ended,) = peer.ends_response()  # it was complete before the server heard of it
        assert ended.tool_calls == ()
        self.assert_refused(peer.hears(), "call_1")

    def test_are_refused_when_they_arrive_after_the_interruption(self, make_peer: MakePeer) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(interrupt_response=True))).ready()
        peer.starts_response()
        peer.session.interrupt([], 0.0)
        peer.says("response.output_item.done", response_id="resp_1", item=function_call())
        assert peer.hears() == []
        (ended,) = peer.ends_response()
        assert ended.tool_calls == ()
        self.assert_refused(peer.hears(), "call_1")

    def test_are_left_to_the_caller_of_the_session_otherwise(self, peer: Any) -> None:
        peer.starts_response()
        peer.says("response.output_item.done", response_id="resp_1", item=function_call())
        peer.ends_response()
        assert peer.hears() == []

    def assert_refused(self, sent: list[dict[str, Any]], *call_ids: str) -> None:
        answers = [message["item"] for message in sent if message["type"] == "conversation.item.create"]
        assert [(item["type"], item["call_id"]) for item in answers] == [
            ("function_call_output", call_id) for call_id in call_ids
        ]
        for item in answers:
            assert "error" in json.loads(item["output"])

    def test_are_not_run_when_cut_short_themselves(self, peer: Any) -> None:
        peer.starts_response()
        peer.says("response.output_item.done", response_id="resp_1", item=function_call(status="incomplete"))
        (ended,) = peer.ends_response()
        assert ended.tool_calls == ()

    def test_belong_to_their_own_response(self, peer: Any) -> None:
        peer.says("response.output_item.done", response_id="resp_2", item=function_call())
        (ended,) = peer.ends_response("resp_1")
        assert ended.tool_calls == ()

    def test_are_told_once(self, peer: Any) -> None:
        peer.says("response.output_item.done", response_id="resp_1", item=function_call())
        peer.ends_response()
        (again,) = peer.ends_response()
        assert again.tool_calls == ()


class TestInterruption:
    def test_truncates_what_was_heard_and_leaves_the_cancelling_to_the_server(self, make_peer: MakePeer) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(interrupt_response=True))).ready()
        peer.starts_response()
        peer.speaks(PCM, "item_a")
        peer.session.interrupt([Heard("item_a", 1234.9), Heard("item_b", 0.0)], 1.0)
        sent = peer.hears()
        assert [(m["type"], m["item_id"], m["content_index"], m["audio_end_ms"]) for m in sent] == [
            ("conversation.item.truncate", "item_a", 0, 1234),
            ("conversation.item.truncate", "item_b", 0, 0),
        ]

    def test_cancels_where_the_server_does_not(self, make_peer: MakePeer) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(interrupt_response=False))).ready()
        peer.starts_response("resp_9")
        peer.session.interrupt([Heard("item_a", 10.0)], 0.0)
        sent = peer.hears()
        assert [m["type"] for m in sent] == ["response.cancel", "conversation.item.truncate"]
        assert sent[0]["response_id"] == "resp_9"

    def test_does_not_cancel_what_is_over(self, make_peer: MakePeer) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(interrupt_response=False))).ready()
        peer.starts_response()
        peer.ends_response()
        peer.session.interrupt([Heard("item_a", 10.0)], 0.0)
        assert peer.hears_types() == ["conversation.item.truncate"]

    @pytest.mark.parametrize("server_interrupts", [True, False])
    def test_for_a_reason_of_ours_it_is_cancelled_once(self, make_peer: MakePeer, server_interrupts: bool) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(interrupt_response=server_interrupts))).ready()
        peer.starts_response()
        peer.session.cancel([], 0.0)
        assert peer.hears_types() == ["response.cancel"]

    def test_for_a_reason_of_ours_nothing_is_cancelled_when_nothing_runs(self, peer: Any) -> None:
        peer.session.cancel([], 0.0)
        assert peer.hears() == []

    def test_late_audio_of_the_cut_response_is_not_played(self, peer: Any) -> None:
        peer.starts_response()
        peer.session.interrupt([], 0.0)
        assert peer.speaks(PCM) == []
        peer.ends_response(status="cancelled")
        assert peer.speaks(PCM) == []

    def test_audio_of_the_next_response_is(self, peer: Any) -> None:
        peer.starts_response()
        peer.session.interrupt([], 0.0)
        peer.ends_response(status="cancelled")
        peer.starts_response("resp_2")
        assert peer.speaks(PCM, "item_b", "resp_2") == [ev.AudioArrived("item_b", PCM, "resp_2")]

    @pytest.mark.parametrize("way", ["interrupt", "cancel"])
    @pytest.mark.parametrize("server_interrupts", [True, False])
    def test_a_response_on_its_way_is_muted_and_cancelled_when_it_begins(
        self, make_peer: MakePeer, way: str, server_interrupts: bool
    ) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(interrupt_response=server_interrupts))).ready()
        peer.session.request_response(0.0, "Say hello")
        peer.hears()
        getattr(peer.session, way)([], 0.1)
        assert peer.hears() == []  # there is nothing yet to cancel
        assert peer.starts_response("unwanted") == [ev.ResponseStarted("unwanted")]
        (cancel,) = peer.hears()
        assert (cancel["type"], cancel["response_id"]) == ("response.cancel", "unwanted")
        assert peer.speaks(PCM, "item_a", "unwanted") == []
        peer.ends_response("unwanted", status="cancelled")
        assert peer.hears() == []
        peer.starts_response("next")
        assert peer.hears() == []
        assert peer.speaks(PCM, "item_b", "next") == [ev.AudioArrived("item_b", PCM, "next")]

    def test_a_digit_into_a_response_on_its_way_is_answered_after_it(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        peer.hears()
        peer.session.cancel([], 0.1)
        peer.session.request_response(0.1)
        assert peer.hears() == []
        peer.starts_response("unwanted")
        assert peer.hears_types() == ["response.cancel"]
        peer.ends_response("unwanted", status="cancelled")
        (create,) = peer.hears()
        assert create["response"] == {}
        peer.starts_response("answer")
        assert peer.speaks(PCM, "item_b", "answer") == [ev.AudioArrived("item_b", PCM, "answer")]
        assert peer.hears() == []

    @pytest.mark.parametrize("code", ["conversation_already_has_active_response", "rate_limit_exceeded"])
    def test_one_on_its_way_that_is_refused_does_not_cost_the_caller_their_answer(self, peer: Any, code: str) -> None:
        peer.session.request_response(0.0, "Say hello")
        (create,) = peer.hears()
        peer.session.interrupt([], 0.1)
        (refused,) = peer.objects(code, event_id=create["event_id"])
        assert refused.code == code
        assert peer.hears() == []  # not asked for again
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u")
        peer.starts_response("answer")
        assert peer.hears() == []
        assert peer.speaks(PCM, "item_b", "answer") == [ev.AudioArrived("item_b", PCM, "answer")]

    def test_a_refusal_of_one_on_its_way_opens_the_way_for_the_next(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        (create,) = peer.hears()
        peer.session.cancel([], 0.1)
        peer.session.request_response(0.1)
        peer.objects("rate_limit_exceeded", event_id=create["event_id"])
        assert peer.hears_types() == ["response.create"]
        peer.starts_response("answer")
        assert peer.hears() == []
        assert peer.speaks(PCM, "item_b", "answer") == [ev.AudioArrived("item_b", PCM, "answer")]

    def test_nor_does_it_cut_off_what_the_server_says_next(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        (create,) = peer.hears()
        peer.session.cancel([], 0.1)
        peer.objects("rate_limit_exceeded", event_id=create["event_id"])
        peer.starts_response("servers")
        assert peer.hears() == []

    def test_one_that_lost_a_race_to_nobody_known_does_not_cut_off_the_next(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        (create,) = peer.hears()
        peer.session.cancel([], 0.1)
        peer.session.request_response(0.1)
        peer.objects("conversation_already_has_active_response", event_id=create["event_id"])
        deadline = peer.session.next_deadline()
        assert deadline is not None
        peer.session.tick(deadline)
        assert peer.hears_types() == ["response.create"]
        peer.starts_response("answer")
        assert peer.hears() == []
        assert peer.speaks(PCM, "item_b", "answer") == [ev.AudioArrived("item_b", PCM, "answer")]

    def test_one_on_its_way_that_never_begins_does_not_cost_the_caller_their_answer(self, peer: Any) -> None:
        peer.session.request_response(0.0, "Say hello")
        peer.session.interrupt([], 0.1)
        peer.hears()
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="u")
        peer.starts_response("answer")
        assert peer.hears() == []
        assert peer.speaks(PCM, "item_b", "answer") == [ev.AudioArrived("item_b", PCM, "answer")]

    def test_a_wanted_response_is_no_longer_wanted(self, make_peer: MakePeer) -> None:
        peer = make_peer(AgentSettings(turn_detection=ServerVad(interrupt_response=True))).ready()
        peer.starts_response()
        peer.session.request_response(0.0, "One more thing")
        peer.session.interrupt([], 0.0)
        peer.ends_response(status="cancelled")
        assert peer.hears() == []


class TestTruncation:
    def truncated(self, peer: Any, heard_ms: float = 5000.0) -> str:
        """Ask for a truncation; the id of the request."""
        peer.session.interrupt([Heard("item_a", heard_ms)], peer.now)
        (request,) = peer.hears()
        return str(request["event_id"])

    def test_acknowledged(self, peer: Any) -> None:
        self.truncated(peer)
        said = peer.says("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=5000)
        assert said == [ev.ItemTruncated("item_a", 5000)]
        assert peer.session.next_deadline() is None

    @pytest.mark.parametrize("named", [True, False])
    def test_refused_and_then_clamped_is_done(self, peer: Any, named: bool) -> None:
        request = self.truncated(peer)
        (refused,) = peer.objects(
            "invalid_value",
            "Audio content of 4900ms is already shorter than 5000ms",
            event_id=request if named else None,
        )
        assert refused.code == "invalid_value"
        assert peer.session.next_deadline() == TRUNCATED_WAIT_S
        peer.says("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=4900)
        assert peer.session.next_deadline() is None
        peer.session.tick(10.0)
        assert peer.hears() == []

    @pytest.mark.parametrize("named", [True, False])
    def test_refused_and_not_clamped_is_asked_again_with_the_servers_length(self, peer: Any, named: bool) -> None:
        request = self.truncated(peer)
        peer.objects(
            "invalid_value",
            "Audio content of 4900ms is already shorter than 5000ms",
            event_id=request if named else None,
        )
        peer.session.tick(TRUNCATED_WAIT_S - 0.01)
        assert peer.hears() == []
        peer.session.tick(TRUNCATED_WAIT_S)
        (again,) = peer.hears()
        assert (again["type"], again["item_id"], again["audio_end_ms"]) == (
            "conversation.item.truncate",
            "item_a",
            4900,
        )
        assert again["event_id"] != request

    def test_refused_for_an_unknown_reason_is_asked_again_a_little_shorter(self, peer: Any) -> None:
        request = self.truncated(peer)
        peer.objects("invalid_value", "something else", event_id=request)
        peer.session.tick(TRUNCATED_WAIT_S)
        (again,) = peer.hears()
        assert again["audio_end_ms"] == 4900

    def test_never_below_nothing(self, peer: Any) -> None:
        request = self.truncated(peer, 30.0)
        peer.objects("invalid_value", "something else", event_id=request)
        peer.session.tick(TRUNCATED_WAIT_S)
        (again,) = peer.hears()
        assert again["audio_end_ms"] == 0

    def test_is_given_up_after_a_few_tries(self, peer: Any) -> None:
        request = self.truncated(peer)
        asked = 1
        for _ in range(10):
            peer.objects("invalid_value", "no", event_id=request)
            peer.now += TRUNCATED_WAIT_S
            peer.session.tick(peer.now)
            sent = peer.hears()
            if not sent:
                break
            asked += 1
            request = sent[0]["event_id"]
        assert asked == TRUNCATE_TRIES
        assert peer.session.next_deadline() is None

    def test_an_error_about_another_request_is_not_about_it(self, peer: Any) -> None:
        self.truncated(peer)
        peer.objects("invalid_value", "Audio content of 1ms is already shorter than 2ms", event_id="somebody_else")
        assert peer.session.next_deadline() is None

    def test_an_unrelated_error_without_an_id_is_not_about_it(self, peer: Any) -> None:
        self.truncated(peer)
        peer.objects("cannot_update_voice", "the voice stays")
        assert peer.session.next_deadline() is None

    def test_an_error_while_open_is_not_the_end(self, peer: Any) -> None:
        assert peer.objects("response_cancel_not_active", "nothing to cancel", param="response_id") == [
            ev.RequestRefused("response_cancel_not_active", "nothing to cancel", "response_id")
        ]
        assert peer.session.state is State.READY


class TestClose:
    @pytest.mark.parametrize(
        ("code", "close", "fault", "remedy"),
        [
            ("invalid_api_key", 3000, ev.Fault.CREDENTIALS, "api_key"),
            ("missing_model", 4000, ev.Fault.REQUEST, "model"),
            ("invalid_model", 4000, ev.Fault.REQUEST, "model"),
            ("model_not_found", 4004, ev.Fault.REQUEST, "model"),
            ("beta_api_shape_disabled", 4000, ev.Fault.REQUEST, "OpenAI-Beta"),
            ("insufficient_quota", 1008, ev.Fault.LIMIT, "billing"),
            ("rate_limit_exceeded", 1008, ev.Fault.LIMIT, "limit"),
            ("server_error", 1011, ev.Fault.SERVER, ""),
        ],
    )
    def test_refused_after_the_upgrade(
        self, make_peer: MakePeer, code: str, close: int, fault: ev.Fault, remedy: str
    ) -> None:
        peer = make_peer()
        assert peer.objects(code, "no")[0].code == code
        (failed,) = peer.session.closed(close, f"invalid_request_error.{code}")
        assert (failed.fault, remedy in failed.remedy) == (fault, True)
        assert code in failed.cause

    @pytest.mark.parametrize("named", [True, False])
    def test_at_the_longest_duration(self, peer: Any, named: bool) -> None:
        text = "Your session hit the maximum duration of 60 minutes."
        if named:
            peer.objects("session_expired", text)
        (failed,) = peer.session.closed(1001, text)
        assert failed.fault is ev.Fault.EXPIRED

    def test_refused_by_the_close_alone(self, make_peer: MakePeer) -> None:
        (failed,) = make_peer().session.closed(3000, "invalid_request_error.invalid_api_key")
        assert failed.fault is ev.Fault.CREDENTIALS

    @pytest.mark.parametrize("code", [None, 1006])
    def test_cut_off(self, peer: Any, code: int | None) -> None:
        (failed,) = peer.session.closed(code, "")
        assert failed.fault is ev.Fault.NETWORK
        assert "cut off" in failed.cause

    @pytest.mark.parametrize(
        ("code", "fault"),
        [
            (1000, ev.Fault.NETWORK),
            (1001, ev.Fault.NETWORK),
            (1011, ev.Fault.SERVER),
            (1012, ev.Fault.NETWORK),
            (4999, ev.Fault.SERVER),
        ],
    )
    def test_closed_by_the_server(self, peer: Any, code: int, fault: ev.Fault) -> None:
        (failed,) = peer.session.closed(code, "because")
        assert (failed.fault, failed.cause) == (fault, f"the model closed the connection ({code} because)")

    def test_without_a_reason(self, peer: Any) -> None:
        (failed,) = peer.session.closed(1011, "")
        assert failed.cause == "the model closed the connection (1011)"

    def test_an_error_of_long_ago_is_not_blamed(self, peer: Any) -> None:
        peer.objects("invalid_value", "no")
        (failed,) = peer.session.closed(1011, "keepalive")
        assert failed.fault is ev.Fault.SERVER
        assert "invalid_value" not in failed.cause

    def test_an_error_that_the_close_names_is(self, peer: Any) -> None:
        peer.objects("insufficient_quota", "pay first")
        (failed,) = peer.session.closed(4000, "invalid_request_error.insufficient_quota")
        assert failed.fault is ev.Fault.LIMIT

    def test_nothing_happens_after_the_end(self, peer: Any) -> None:
        peer.session.closed(1000, "")
        assert peer.session.closed(1000, "") == []
        assert peer.starts_response() == []
        peer.session.request_response(0.0)
        assert peer.hears() == []


class TestCompatibleServers:
    """Deviations of servers that follow the former beta protocol, or follow loosely."""

    def test_names_of_the_beta_protocol(self, peer: Any) -> None:
        peer.starts_response()
        delta = base64.b64encode(PCM).decode()
        named = {"response_id": "resp_1", "item_id": "i"}
        assert peer.says("response.audio.delta", delta=delta, **named) == [ev.AudioArrived("i", PCM, "resp_1")]
        assert peer.says("response.audio.done", **named) == [ev.AudioEnded("i", "resp_1")]
        said = peer.says("response.audio_transcript.done", transcript="Hello.", **named)
        assert said == [ev.AgentTranscribed("i", "Hello.", "resp_1")]
        assert peer.says("conversation.item.created", item={"id": "i", "type": "message"}) == []
        assert peer.ends_response()[0].status == "completed"
        assert peer.session.state is State.READY

    def test_an_aside_in_the_beta_protocols_words(self, peer: Any) -> None:
        peer.session.say_out_of_band("k", "Say exactly: hello", alone=True)
        metadata = {"ariagent": "k"}
        peer.says("response.created", response={"id": "a", "conversation_id": None, "metadata": metadata})
        delta = base64.b64encode(PCM).decode()
        assert peer.says("response.audio.delta", response_id="a", item_id="i", delta=delta) == []
        (ended,) = peer.says("response.done", response={"id": "a", "status": "completed"})
        assert ended.audio == PCM

    def test_json_in_binary_frames(self, make_peer: MakePeer) -> None:
        session = make_peer().session
        hello = {"type": "session.created", "session": {"id": "s"}}
        assert session.receive(json.dumps(hello).encode(), 0.0) == []
        assert session.state is State.CONFIGURING

    @pytest.mark.parametrize("given", [{"type": "audio/pcm"}, "pcm16", None])
    def test_a_format_acknowledged_in_another_way(self, make_peer: MakePeer, given: object) -> None:
        peer = make_peer()
        peer.says("session.created", session={"id": "s"})
        session = peer.acknowledged()
        for way in ("input", "output"):
            session["audio"][way]["format"] = given
        (ready,) = peer.says("session.updated", session=session)
        assert isinstance(ready, ev.SessionReady)

    def test_a_session_acknowledged_in_the_beta_protocols_shape(self, make_peer: MakePeer) -> None:
        peer = make_peer(encoding="pcmu")
        peer.says("session.created", session={"id": "s"})
        formats = {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw"}
        (ready,) = peer.says("session.updated", session={"id": "s", **formats})
        assert isinstance(ready, ev.SessionReady)

    def test_events_that_do_not_name_their_response(self, peer: Any) -> None:
        peer.starts_response()
        delta = base64.b64encode(PCM).decode()
        (arrived,) = peer.says("response.output_audio.delta", item_id="i", delta=delta)
        assert arrived == ev.AudioArrived("i", PCM, "resp_1")
        call = {"type": "function_call", "id": "f", "call_id": "c", "name": "look", "arguments": "{}"}
        peer.says("response.output_item.done", item=call)
        assert peer.ends_response()[0].tool_calls == (ev.ToolCall("c", "look", "{}"),)


class TestLongAudio:
    def test_is_handed_on_in_pieces(self, peer: Any) -> None:
        peer.starts_response()
        audio = bytes(range(250)) * 500
        pieces = peer.speaks(audio)
        assert [len(piece.audio) for piece in pieces] == [PIECE_BYTES, PIECE_BYTES, len(audio) - 2 * PIECE_BYTES]
        assert b"".join(piece.audio for piece in pieces) == audio
        assert {(piece.item_id, piece.response_id) for piece in pieces} == {("item_a", "resp_1")}


class TestBounds:
    """A server cannot make a session keep more."""

    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            ("response.created", {"response": {"id": "i" * 257}}),
            ("input_audio_buffer.committed", {"item_id": "i" * 257}),
            ("input_audio_buffer.committed", {"item_id": "i", "previous_item_id": "i" * 257}),
            ("input_audio_buffer.speech_started", {"item_id": "i" * 257, "audio_start_ms": 0}),
            ("response.output_item.added", {"response_id": "r", "item": {"id": "i" * 257}}),
            ("response.output_audio.delta", {"response_id": "i" * 257, "item_id": "i", "delta": ""}),
        ],
    )
    def test_a_long_id_is_none(self, peer: Any, kind: str, fields: dict[str, Any]) -> None:
        (malformed,) = peer.says(kind, **fields)
        assert (type(malformed), malformed.what) == (ev.InputMalformed, kind)

    def calls(self, peer: Any, response_id: str, count: int, arguments: str = "{}") -> list[Any]:
        happened: list[Any] = []
        for number in range(count):
            item = {"type": "function_call", "status": "completed", "call_id": f"c{number}", "name": "look"}
            item["arguments"] = arguments
            happened += peer.says("response.output_item.done", response_id=response_id, item=item)
        return happened

    def test_function_calls_of_a_response(self, peer: Any) -> None:
        peer.starts_response()
        refused = self.calls(peer, "resp_1", MOST_CALLS + 3)
        assert refused == [ev.InputMalformed("response.output_item.done", event.length) for event in refused]
        assert len(refused) == 3
        assert len(peer.ends_response()[0].tool_calls) == MOST_CALLS

    def test_responses_whose_function_calls_wait(self, peer: Any) -> None:
        for number in range(100):
            self.calls(peer, f"r{number}", 1)
        assert len(peer.session.responses._known) == KEPT

    def test_arguments(self, peer: Any) -> None:
        assert self.calls(peer, "r", 1, "x" * 32_000) == []
        assert len(self.calls(peer, "r", 1, "x" * 32_001)) == 1

    def test_what_is_said_of_an_error(self, peer: Any) -> None:
        (refused,) = peer.objects("c" * 1_000_000, "m" * 1_000_000, param="p" * 1_000_000)
        assert (len(refused.code), len(refused.message), len(refused.param)) == (64, 500, 64)

    def test_what_is_said_of_a_failed_response(self, peer: Any) -> None:
        peer.starts_response()
        details = {"error": {"code": "c" * 1_000_000, "message": "m" * 1_000_000}}
        ended = peer.ends_response(status="failed", status_details=details)[0]
        assert (len(ended.reason), len(ended.message)) == (64, 500)

    def test_transcripts(self, peer: Any) -> None:
        kind = "conversation.item.input_audio_transcription.completed"
        (said,) = peer.says(kind, item_id="u", transcript="w" * 1_000_000)
        assert len(said.text) == 16_000


class TestMalformed:
    @pytest.mark.parametrize(
        ("text", "what"),
        [
            (b"\x00\x01", "binary frame"),
            (b"\xff", "binary frame"),
            ("[" + ",".join(["[]"] * 100_000) + "]", "too many values"),
            ("{", "not JSON"),
            ("", "not JSON"),
            ("[" * 15_000, "not JSON"),
            ("[" * 100_000, "too many values"),
            ("[]", "no type"),
            ('"x"', "no type"),
            ("{}", "no type"),
            ('{"type": 3}', "no type"),
            ('{"type": ["session.created"]}', "no type"),
        ],
    )
    def test_what_is_no_event_is_told_without_its_content(self, peer: Any, text: str | bytes, what: str) -> None:
        assert peer.session.receive(text, 0.0) == [ev.InputMalformed(what, len(text))]

    def test_unknown_events_are_of_no_interest(self, peer: Any) -> None:
        assert peer.says("response.sung", item_id="x") == []

    @pytest.mark.parametrize("delta", [None, 3, "***", "AAA", "é"])
    def test_audio_that_is_none(self, peer: Any, delta: object) -> None:
        said = peer.says("response.output_audio.delta", response_id="r", item_id="i", delta=delta)
        assert [type(event) for event in said] == [ev.InputMalformed]

    @pytest.mark.parametrize("encoding", ["pcm", "pcmu", "pcma"])
    def test_an_odd_number_of_bytes_is_passed_on(self, make_peer: MakePeer, encoding: str) -> None:
        peer = make_peer(encoding=encoding).ready()
        assert peer.speaks(b"odd") == [ev.AudioArrived("item_a", b"odd", "resp_1")]

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400, "true", '"7"', "null"])
    @pytest.mark.parametrize(
        ("kind", "key"),
        [
            ("input_audio_buffer.speech_started", "audio_start_ms"),
            ("input_audio_buffer.speech_stopped", "audio_end_ms"),
            ("conversation.item.truncated", "audio_end_ms"),
        ],
    )
    def test_a_position_that_is_none(self, peer: Any, kind: str, key: str, number: str) -> None:
        text = f'{{"type": "{kind}", "item_id": "i", "{key}": {number}}}'
        assert peer.session.receive(text, 0.0) == [ev.InputMalformed(kind, len(text))]

    def test_a_malformed_event_changes_nothing(self, peer: Any) -> None:
        peer.starts_response()
        peer.says("response.done", response={"status": "completed"})
        assert peer.session.responses.active == "resp_1"


HANDLED = sorted(_HANDLERS)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

KEYS = st.sampled_from(
    [
        "session",
        "response",
        "item",
        "error",
        "item_id",
        "response_id",
        "previous_item_id",
        "audio_start_ms",
        "audio_end_ms",
        "delta",
        "transcript",
        "id",
        "status",
        "status_details",
        "usage",
        "code",
        "message",
        "event_id",
        "type",
        "call_id",
        "name",
        "arguments",
        "input_token_details",
        "conversation_id",
        "audio",
        "expires_at",
    ]
)


class TestDismissedTurn:
    """The caller's turn was none: ``dismiss``."""

    def turn(self, peer: Any, item_id: str = "item_u") -> None:
        peer.says("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item_id)
        peer.says("input_audio_buffer.speech_stopped", audio_end_ms=400, item_id=item_id)
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id=item_id)

    def told(self, peer: Any) -> list[tuple[str, str]]:
        return [(m["type"], m.get("item_id") or m.get("response_id") or "") for m in peer.hears()]

    def test_is_forgotten_once_it_is_an_item(self, peer: Any) -> None:
        peer.says("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        peer.session.dismiss("item_u", 0.0)
        assert self.told(peer) == []
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="item_u")
        assert self.told(peer) == [("conversation.item.delete", "item_u")]

    def test_its_answer_is_cancelled_unheard_and_forgotten(self, peer: Any) -> None:
        self.turn(peer)
        peer.session.dismiss("item_u", 0.0)
        assert self.told(peer) == [("conversation.item.delete", "item_u")]
        peer.starts_response()
        peer.says("response.output_item.added", response_id="resp_1", item={"id": "item_a"})
        assert peer.speaks(PCM) == []
        assert self.told(peer) == [("response.cancel", "resp_1")]
        said = peer.says(
            "response.output_audio_transcript.done", response_id="resp_1", item_id="item_a", transcript="Yes?"
        )
        assert said == []
        peer.ends_response(status="cancelled")
        assert self.told(peer) == [("conversation.item.delete", "item_a")]

    def test_an_answer_that_is_over_is_forgotten_too(self, peer: Any) -> None:
        self.turn(peer)
        peer.starts_response()
        peer.says("response.output_item.added", response_id="resp_1", item={"id": "item_a"})
        peer.ends_response()
        peer.hears()
        peer.session.dismiss("item_u", 0.0)
        assert self.told(peer) == [("conversation.item.delete", "item_u"), ("conversation.item.delete", "item_a")]

    def test_its_tool_calls_are_not_run_and_not_answered(self, peer: Any) -> None:
        self.turn(peer)
        peer.session.dismiss("item_u", 0.0)
        peer.starts_response()
        call = {"type": "function_call", "id": "item_c", "status": "completed"}
        call |= {"call_id": "c", "name": "end_call", "arguments": "{}"}
        peer.says("response.output_item.added", response_id="resp_1", item=call)
        peer.says("response.output_item.done", response_id="resp_1", item=call)
        (ended,) = peer.ends_response()
        assert ended.tool_calls == ()
        assert "conversation.item.create" not in [kind for kind, _ in self.told(peer)]

    def test_an_answer_that_never_comes_is_not_missed(self, peer: Any) -> None:
        self.turn(peer)
        peer.session.dismiss("item_u", 0.0)
        peer.hears()
        for second in range(60):
            assert peer.session.tick(float(second)) == []
        assert peer.session.state is State.READY
        assert self.told(peer) == []

    def test_one_that_the_server_could_not_answer_is_not_asked_for(self, peer: Any) -> None:
        peer.starts_response("resp_0")
        self.turn(peer)
        peer.objects("conversation_already_has_active_response")
        peer.session.dismiss("item_u", 0.0)
        peer.ends_response("resp_0")
        peer.session.tick(10.0)
        assert self.told(peer) == [("conversation.item.delete", "item_u")]

    def test_one_dismissed_before_its_end_is_not_asked_for_either(self, peer: Any) -> None:
        """The caller pressed a key amid noise; the noise ends while the answer to the key is spoken."""
        peer.says("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        peer.session.dismiss("item_u", 0.0)
        peer.session.request_response(0.0)
        peer.starts_response("resp_1")
        peer.hears()
        peer.says("input_audio_buffer.speech_stopped", audio_end_ms=400, item_id="item_u")
        peer.says("input_audio_buffer.committed", previous_item_id=None, item_id="item_u")
        peer.objects("conversation_already_has_active_response")
        peer.ends_response("resp_1")
        peer.session.tick(10.0)
        assert self.told(peer) == [("conversation.item.delete", "item_u")]

    def test_that_excuses_one_refusal_only(self, peer: Any) -> None:
        """The next may be that of our own request."""
        self.test_one_dismissed_before_its_end_is_not_asked_for_either(peer)
        peer.now = 10.0
        peer.session.request_response(peer.now)
        peer.hears()
        peer.objects("conversation_already_has_active_response")
        peer.session.tick(11.0)
        assert self.told(peer) == [("response.create", "")]

    def test_the_next_turn_is_answered(self, peer: Any) -> None:
        self.turn(peer)
        peer.session.dismiss("item_u", 0.0)
        peer.starts_response("resp_1")
        peer.ends_response("resp_1", status="cancelled")
        self.turn(peer, "item_v")
        peer.starts_response("resp_2")
        assert len(peer.speaks(PCM, "item_b", "resp_2")) == 1


LIKELY = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["completed", "function_call", "AAAA"]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=6) | st.lists(inner, max_size=2),
    max_leaves=12,
)


def as_text(value: object) -> str:
    return json.dumps(value)


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(HANDLED), st.dictionaries(KEYS, LIKELY | JSON, max_size=8)), max_size=8))
def test_no_events_of_a_server_make_it_raise(messages: list[tuple[str, dict[str, Any]]]) -> None:
    session = RealtimeSession(SessionProfile.of(AgentSettings(), RealtimeSettings()))
    session.receive('{"type":"session.created","session":{}}', 0.0)
    updated = {"type": "session.updated", "session": session.profile.session()}
    assert len(session.receive(as_text(updated), 0.0)) == 1
    session.interrupt([Heard("item_a", 100.0)], 0.0)
    now = 0.0
    for kind, fields in messages:
        now += 0.3
        for event in session.receive(as_text({**fields, "type": kind}), now):
            assert isinstance(event, ev.Event)
        session.tick(now)
        for message in session.take_outgoing():
            json.loads(message)
    assert session.closed(1006, "") != [] or session.state is State.CLOSED


@settings(max_examples=examples(200), deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60) | JSON.map(as_text))
def test_no_text_of_a_server_makes_it_raise(text: str | bytes) -> None:
    session = RealtimeSession(SessionProfile.of(AgentSettings(), RealtimeSettings()))
    session.receive(text, 0.0)
