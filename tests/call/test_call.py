"""Whole calls, from arrival to termination, in memory and in no time (see ``incall``)."""

import asyncio
import gc
import json
import time
import weakref
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from ariagent.ami.events import AttendedTransferred, BlindTransferred
from ariagent.ari.client import NotFoundError, RefusedError
from ariagent.audiosocket.endpoint import Reason
from ariagent.call.call import Call
from ariagent.call.machine import (
    GOODBYE_TIMEOUT_S,
    MOVE_TIMEOUT_S,
    PREPARE_TIMEOUT_S,
    TRANSFER_TIMEOUT_S,
    State,
)
from ariagent.call.transfers import LATE_S, TransferOutcome
from ariagent.errors import AmiRefusedError, CallStateError
from ariagent.realtime import events as rt
from ariagent.termination import Result, Termination
from tests.call.incall import AGENT, WARM_PREFIX, Office, assert_nothing_left
from tests.call.virtualtime import passes, virtual_time

HUNG_UP = Termination(Result.DONE, "caller_hung_up")
TRANSFERRED = Termination(Result.TRANSFERRED, "handed_over")
REFUSED = RefusedError("Asterisk refused it: HTTP 500")
MOVES = [("c1", "continue c1"), ("s1", "BlindTransfer")]
"""A direct caller and a seat's, and the request that moves them."""


def went_to(office: Office, channel_id: str) -> tuple[str, str] | None:
    """Context and extension that the channel was sent to; None: where it came from."""
    place = office.ari.went[channel_id]
    return None if place is None else (place.context, place.extension)


class TestConversation:
    @virtual_time
    async def test_a_caller_talks_with_the_agent_and_hangs_up(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            session, line = office.model.session, office.line(call)
            heard_s = line.heard_s
            session.caller_begins()
            line.speaks(1.0)
            await passes(1.5)
            session.caller_ends("Is my order ready?")
            await passes(0.3)
            session.speaks(2.0)
            await office.silent(call)
            assert line.heard_s - heard_s == pytest.approx(2.0)
            assert call.live().last_said == ("agent", f"Words of item_{office.model.number}.")
            office.ari.leaves("c1")
            assert await office.over(call) == HUNG_UP
            assert office.ended() == {"done/caller_hung_up": 1}
            assert [fields["said"] for fields in office.events("turn.caller")] == ["Is my order ready?"]
            (answered,) = office.events("turn.answered")
            assert 300 <= answered["response_ms"] <= 2500
            assert "c1" not in office.ari.went
            assert_nothing_left(office, call)

    @virtual_time
    async def test_the_caller_is_answered_as_soon_as_model_and_audio_are_ready(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            requests = office.ari.peer.requests
            assert requests.count("answer c1") == 1
            assert office.ari.peer.asked(f"join {call.media.channel}", "answer c1")
            assert 40.0 < office.events("call.answered")[0]["after_ms"] < 100.0
            # The caller's audio goes to the model, 20 ms at a time, from the answer on.
            sent = office.model.session.audio_bytes
            await passes(2.0)
            assert office.model.session.audio_bytes - sent == pytest.approx(2.0 * 48_000, rel=0.1)

    @virtual_time
    async def test_a_caller_who_speaks_cuts_the_agent_off_before_the_model_says_more(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            session, line = office.model.session, office.line(call)
            session.speaks(8.0)
            item = f"item_{office.model.number}"
            await passes(1.0)
            before = len(session.heard)
            session.caller_begins()
            # At once, and not with the server's next message.
            (truncated,) = [m for m in session.heard[before:] if m["type"] == "conversation.item.truncate"]
            assert truncated["item_id"] == item
            assert truncated["audio_end_ms"] == pytest.approx(1000, abs=60)
            frames = len(line.heard)
            await passes(1.0)
            assert not any(line.heard[frames:])
            (cut,) = office.events("turn.interrupted")
            assert cut["heard_ms"] == truncated["audio_end_ms"]

    @virtual_time
    async def test_an_interruption_that_is_confirmed_by_its_length_is_sent_at_once(self, tmp_path: Path) -> None:
        """The verdict comes with a frame, and the server may be silent for seconds then."""
        async with Office(tmp_path, agent={"interruptions": {"confirm": True}}) as office:
            call = await office.answered("c1")
            session, line = office.model.session, office.line(call)
            session.speaks(8.0)
            await passes(2.0)
            line.speaks(3.0)
            began = time.monotonic()
            await passes(0.2)
            session.caller_begins()
            await office.until(lambda: office.events("turn.interrupted"), 2.0)
            assert time.monotonic() - began < 1.0
            assert [m["type"] for m in session.heard].count("conversation.item.truncate") == 1

    @virtual_time
    async def test_keys_are_told_to_the_model_once_they_are_all_there(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            for digit in "8362":
                office.ari.tell("ChannelDtmfReceived", "c1", digit=digit)
                office.line(call).endpoint.digit_received(digit)
                await passes(0.2)
            await office.until(lambda: office.events("call.digits"), 10.0)
            assert office.events("call.digits") == [{"call": "c1", "count": 4}]
            told = [m for m in office.model.session.heard if "8362" in json.dumps(m)]
            assert len(told) == 1
            assert office.model.session.heard[-1]["type"] == "response.create"

    @virtual_time
    async def test_a_key_for_a_person_transfers_to_the_first_destination(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent={"keypad": {"actions": {"0": "person"}}, "handoff": ["blind"]}) as office:
            call = await office.answered("c1")
            office.ari.tell("ChannelDtmfReceived", "c1", digit="0")
            assert await office.over(call) == TRANSFERRED
            assert went_to(office, "c1") == ("ariagent-handoff", "support")

    @virtual_time
    async def test_without_a_destination_it_sends_the_caller_to_the_human_queue(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent={"keypad": {"actions": {"0": "person"}}, "handoff": []}) as office:
            call = await office.answered("c1")
            office.ari.tell("ChannelDtmfReceived", "c1", digit="0")
            assert await office.over(call) == Termination(Result.PERSON, "caller_pressed_person")
            assert (office.ari.results, went_to(office, "c1")) == ({"c1": "person"}, None)

    @virtual_time
    async def test_a_silent_caller_is_asked_twice_and_hung_up_on(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            assert await office.over(call, 120.0) == Termination(Result.DONE, "caller_silent")
            requests = [m for m in office.model.session.heard if m["type"] == "response.create"]
            assert len(requests) == 4  # the opening, two questions, a goodbye
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_session_that_is_lost_is_made_anew_in_the_middle_of_the_call(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.lose()
            await office.until(lambda: office.events("model.reconnected"), 5.0)
            assert len(office.model.sessions) == 2
            assert office.model.session.told("Words of item_1.")
            assert call.state is State.TALKING

    @virtual_time
    async def test_a_gap_in_the_callers_audio_is_filled_with_silence(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            line = office.line(call)
            line.sends = False
            sent = office.model.session.audio_bytes
            await passes(3.0)
            assert office.model.session.audio_bytes - sent == pytest.approx(3.0 * 48_000, rel=0.15)
            line.sends = True
            await passes(0.1)
            office.ari.leaves("c1")
            await office.over(call)
            assert office.events("call.ended")[0]["caller_audio_gap_s"] == pytest.approx(3.0, abs=0.3)


class TestArrival:
    @virtual_time
    async def test_a_model_that_cannot_be_reached_sends_the_caller_to_people_unanswered(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.model.refusal = rt.SessionFailed(rt.Fault.NETWORK, "no route", "Check realtime.url")
            call = office.enter("c1", "default")
            assert call is not None
            ended = await office.over(call)
            assert (ended.result, ended.reason) == (Result.NO_MODEL, "model_unreachable")
            assert office.ari.results == {"c1": "no_model"}
            assert "answer c1" not in office.ari.peer.requests
            assert office.doubts == ["model"]
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_seat_whose_model_has_no_room_answers_so_that_no_other_is_tried(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.model.refusal = rt.SessionFailed(rt.Fault.LIMIT, "full", full=True)
            call = office.enter_seat("s1")
            ended = await office.over(call)
            assert ended.result is Result.NO_MODEL
            assert office.ari.peer.asked("answer s1", "continue s1")

    @virtual_time
    async def test_a_model_that_says_nothing_is_waited_for_until_the_limit(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.model.connects_s = 1e3
            began = time.monotonic()
            call = office.enter("c1", "default")
            assert call is not None
            ended = await office.over(call)
            assert (ended.result, ended.cause) == (Result.NO_MODEL, "not ready in time")
            assert time.monotonic() - began == pytest.approx(PREPARE_TIMEOUT_S, abs=0.1)

    @virtual_time
    async def test_audio_that_asterisk_refuses_sends_the_caller_to_people(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.ari.peer.refused["media"] = REFUSED
            call = office.enter("c1", "default")
            assert call is not None
            ended = await office.over(call)
            assert (ended.result, ended.reason) == (Result.ERROR, "media_failed")
            assert office.ari.results == {"c1": "error"}
            assert office.doubts == ["audio", "audio"]
            assert_nothing_left(office, call)

    @virtual_time
    async def test_audio_that_never_comes_sends_the_caller_to_people(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.ari.media_comes = False
            call = office.enter("c1", "default")
            assert call is not None
            ended = await office.over(call)
            assert (ended.reason, office.ari.results) == ("media_failed", {"c1": "error"})
            assert "not to ariagent" in ended.cause
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_caller_who_hangs_up_meanwhile_is_no_error(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = office.enter("c1", "default")
            assert call is not None
            await office.until(lambda: office.ari.peer.asked(f"media {call.media.channel}"))
            office.ari.leaves("c1")
            assert await office.over(call) == HUNG_UP
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_request_about_a_caller_who_is_gone_is_no_fault_of_the_audio(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = office.enter("c1", "default")
            assert call is not None
            office.ari.peer.refused["join c1"] = NotFoundError("Channel not found")
            await office.until(lambda: "join c1" in office.ari.peer.requests)
            del office.ari.names["c1"]  # and nothing tells
            assert await office.over(call) == HUNG_UP
            assert office.doubts == []

    @virtual_time
    async def test_a_caller_whom_asterisk_does_not_answer_for_us_goes_to_people(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.ari.peer.refused["answer c1"] = REFUSED
            call = office.enter("c1", "default")
            assert call is not None
            ended = await office.over(call)
            assert (ended.reason, office.ari.results) == ("media_failed", {"c1": "error"})
            assert_nothing_left(office, call)


class TestGoodbye:
    @virtual_time
    async def test_is_heard_to_its_end_then_the_call_is_over(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            heard_s = office.line(call).heard_s
            function_call = office.model.session.calls_tool("end_call", speech_s=3.0)
            assert call.state is State.SAYING_GOODBYE
            assert office.model.session.result(function_call) is not None
            assert await office.over(call) == Termination(Result.DONE, "agent_ended")
            assert office.line(call).heard_s - heard_s == pytest.approx(3.0)
            assert office.ari.results == {"c1": "done"}
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_seats_channel_is_hung_up(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("s1")
            office.model.session.calls_tool("end_call")
            assert await office.over(call) == Termination(Result.DONE, "agent_ended")
            assert "hang_up s1" in office.ari.peer.requests
            assert office.ari.results == {}
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_caller_who_speaks_into_it_stays(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("end_call", speech_s=3.0)
            await passes(1.0)
            office.model.session.caller_begins()
            await passes(2.5)
            assert call.state is State.SAYING_GOODBYE  # it was heard to its end; what the caller says is not known yet
            office.model.session.caller_ends("One more thing.")
            assert call.state is State.TALKING
            office.model.session.speaks(1.0)
            await passes(10.0)
            assert call.state is State.TALKING
            office.model.session.calls_tool("end_call")
            assert await office.over(call) == Termination(Result.DONE, "agent_ended")

    @virtual_time
    async def test_a_caller_who_presses_a_key_into_it_stays(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("end_call", speech_s=3.0)
            await passes(1.0)
            office.ari.tell("ChannelDtmfReceived", "c1", digit="5")
            assert call.state is State.TALKING

    @virtual_time
    async def test_a_long_one_is_heard_to_its_end(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("end_call", speech_s=60.0)
            began = time.monotonic()
            assert await office.over(call) == Termination(Result.DONE, "agent_ended")
            assert time.monotonic() - began == pytest.approx(60.0, abs=0.2)

    @virtual_time
    async def test_one_that_does_not_end_lasts_so_long_and_no_longer(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.speaks(0.4, tools=[("order", {}), ("end_call", {})])  # The tool's result never comes.
            began = time.monotonic()
            assert await office.over(call, 2 * GOODBYE_TIMEOUT_S) == Termination(Result.DONE, "agent_ended")
            assert time.monotonic() - began == pytest.approx(GOODBYE_TIMEOUT_S, abs=0.6)

    @virtual_time
    async def test_waits_for_a_tool_that_still_runs(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.speaks(0.4, tools=[("order", {}), ("end_call", {})])
            await passes(5.0)
            assert call.state is State.SAYING_GOODBYE
            office.tools.go_on.set()
            assert await office.over(call, 10.0) == Termination(Result.DONE, "agent_ended")


class TestTransfer:
    @pytest.mark.parametrize("kind", ["blind", "briefed"])
    @virtual_time
    async def test_the_model_transfers_the_caller_after_its_sentence(self, kind: str, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            heard_s = office.line(call).heard_s
            office.model.session.calls_tool(
                "transfer_call", speech_s=2.0, destination=kind, reason="a refund", summary="Eve wants a refund."
            )
            assert call.state is State.BEFORE_TRANSFER
            assert await office.over(call) == TRANSFERRED
            assert office.line(call).heard_s - heard_s == pytest.approx(2.0)
            assert went_to(office, "c1") == ("ariagent-handoff", "support")
            assert office.ari.variables["c1", "__ARIAGENT_SUMMARY"] == "Eve wants a refund."
            assert office.ari.variables["c1", "__ARIAGENT_CALL"] == "c1"
            (told,) = office.events("call.transferred")
            assert (told["destination"], told["kind"]) == (kind, kind)
            announcement = office.ari.variables["c1", "ARIAGENT_ANNOUNCEMENT"]
            written = [path.name for path in (tmp_path / "announcements").iterdir()]
            if kind == "blind":
                assert (announcement, written) == ("", [])
            else:
                assert written == [f"{Path(announcement).name}.sln24"]
                assert Path(f"{announcement}.sln24").stat().st_size == 48_000
            assert_nothing_left(office, call)

    @virtual_time
    async def test_an_announcement_that_comes_late_is_waited_for_after_the_caller_has_gone(
        self, tmp_path: Path
    ) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.announces = False
            office.model.session.calls_tool("transfer_call", destination="briefed", reason="r", summary="s")
            await office.until(lambda: office.events("call.transferred"))
            assert office.events("call.transferred")[0]["announcement"] == "late"
            (wanted,) = [m for m in office.model.session.heard if m.get("response", {}).get("conversation") == "none"]
            await passes(2.0)
            office.model.session.speaks(1.0, metadata=wanted["response"]["metadata"], conversation_id=None)
            assert await office.over(call) == TRANSFERRED
            assert len(list((tmp_path / "announcements").iterdir())) == 1
            assert office.events("announcement.not_spoken") == []

    @virtual_time
    async def test_where_asterisk_cannot_play_announcements_the_transfer_is_made_without(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.context.announcements.tried(False)
            office.model.session.calls_tool("transfer_call", destination="briefed", reason="r", summary="s")
            assert await office.over(call) == TRANSFERRED
            (told,) = office.events("call.transferred")
            assert (told["kind"], told["announcement"]) == ("blind", "failed")
            assert len(office.events("announcement.failed")) == 1

    @virtual_time
    async def test_a_caller_who_speaks_first_stays(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("transfer_call", speech_s=3.0, destination="blind", reason="r", summary="s")
            await passes(1.0)
            office.model.session.caller_begins()
            await passes(1.0)
            office.model.session.caller_ends("Wait, one more question.")
            assert call.state is State.TALKING
            await passes(30.0)
            assert call.state is State.TALKING
            assert "continue c1" not in office.ari.peer.requests

    @pytest.mark.parametrize("kind", ["blind", "briefed"])
    @virtual_time
    async def test_one_that_asterisk_refuses_leaves_the_caller_with_the_agent(self, kind: str, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.peer.refused["continue c1"] = REFUSED
            office.model.session.calls_tool("transfer_call", destination=kind, reason="r", summary="s")
            await office.until(lambda: office.events("call.transfer_failed"))
            await office.until(lambda: call.state is State.TALKING)
            assert office.model.session.told(kind)
            before = office.line(call).heard_s
            await passes(2.0)
            assert office.line(call).heard_s > before  # the model explains
            office.ari.peer.refused.clear()
            office.model.session.calls_tool("transfer_call", destination="blind", reason="r", summary="s")
            assert await office.over(call) == TRANSFERRED
            assert_nothing_left(office, call)

    @virtual_time
    async def test_nobody_goes_where_the_site_does_not_allow(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            wanted = {"destination": "0190123456", "reason": "r", "summary": "s"}
            function_call = office.model.session.calls_tool("transfer_call", **wanted)
            assert "there is no destination 0190123456" in office.model.session.result(function_call)["error"]
            await passes(5.0)
            assert call.state is State.TALKING
            assert "continue c1" not in office.ari.peer.requests

    @virtual_time
    async def test_a_seats_caller_is_transferred_through_the_manager_interface(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("s1")
            office.model.session.calls_tool("transfer_call", destination="blind", reason="r", summary="A refund.")
            assert await office.over(call) == TRANSFERRED
            sent = office.ami.sent
            assert sent[-1] == {
                "Action": "BlindTransfer",
                "Channel": "Local/03@ariagent-seat-s1;1",
                "Context": "ariagent-handoff",
                "Exten": "support",
            }
            set_on = {each["Channel"] for each in sent if each["Action"] == "Setvar"}
            assert set_on == {"PJSIP/caller-s1"}
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_seats_caller_without_the_manager_interface_stays(self, tmp_path: Path) -> None:
        async with Office(tmp_path, ami=False) as office:
            call = await office.answered("s1")
            office.model.session.calls_tool("transfer_call", destination="blind", reason="r", summary="s")
            await office.until(lambda: office.events("call.transfer_failed"))
            assert call.state is State.TALKING

    @virtual_time
    async def test_a_caller_whose_model_is_gone_goes_to_the_first_destination(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.refusal = rt.SessionFailed(rt.Fault.NETWORK, "no route")
            office.model.session.lose()
            assert await office.over(call) == TRANSFERRED
            assert went_to(office, "c1") == ("ariagent-handoff", "support")
            (told,) = office.events("call.transferred")
            assert (told["by"], told["kind"]) == ("ariagent", "blind")
            assert office.doubts == ["model"]

    @virtual_time
    async def test_and_to_the_human_queue_where_asterisk_refuses_that(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.peer.refused["set c1"] = REFUSED
            office.model.refusal = rt.SessionFailed(rt.Fault.NETWORK, "no route")
            office.model.session.lose()
            ended = await office.over(call)
            assert (ended.result, ended.reason) == (Result.ERROR, "model_lost")
            assert went_to(office, "c1") is None
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_model_that_is_lost_before_the_sentence_ended_does_not_stop_it(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("transfer_call", speech_s=5.0, destination="blind", reason="r", summary="s")
            await passes(1.0)
            office.model.refusal = rt.SessionFailed(rt.Fault.NETWORK, "no route")
            office.model.session.lose()
            assert await office.over(call) == TRANSFERRED


class TestTransferThatIsNotAnswered:
    """One limit for all its requests: then the caller is back with the agent, and the call continues."""

    @virtual_time
    async def test_of_a_direct_caller(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.peer.takes_s |= {"set c1": 4.9, "continue c1": 1e3}
            office.model.session.calls_tool("transfer_call", speech_s=0.0, destination="blind", reason="r", summary="s")
            began = time.monotonic()
            await office.until(lambda: office.events("call.transfer_failed"))
            assert time.monotonic() - began < TRANSFER_TIMEOUT_S + 0.1
            await self.goes_on(office, call)

    @virtual_time
    async def test_of_a_seats_caller_whose_requests_are_all_slow(self, tmp_path: Path) -> None:
        """Four one after another, each within its own limit of 5 s."""
        async with Office(tmp_path) as office:
            call = await office.answered("s1")
            for peer in (office.ari.peer, office.ami.peer):
                peer.takes_s |= {"*": 4.5}
            office.model.session.calls_tool("transfer_call", speech_s=0.0, destination="blind", reason="r", summary="s")
            began = time.monotonic()
            await office.until(lambda: office.events("call.transfer_failed"))
            assert time.monotonic() - began == pytest.approx(TRANSFER_TIMEOUT_S, abs=0.1)
            assert office.events("call.transfer_failed")[0]["cause"] == "Asterisk did not take the caller in time"
            for peer in (office.ari.peer, office.ami.peer):
                peer.takes_s.clear()
            await self.goes_on(office, call)

    @pytest.mark.parametrize(("leg", "request_"), MOVES)
    @virtual_time
    async def test_but_carried_out_soon_after(self, leg: str, request_: str, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.unanswered(office, leg, request_, arrives_s=8.0)
            office.model.session.caller_begins()
            office.model.session.caller_ends("My order is 4711.")
            assert await office.over(call) == TRANSFERRED
            (told,) = office.events("call.transferred")
            assert (told["destination"], told["kind"]) == ("blind", "blind")
            memory = office.context.memories.take(call.call_id, time.monotonic())
            assert memory is not None
            assert "4711" in repr(memory.entries)
            assert_nothing_left(office, call)

    @virtual_time
    async def test_but_carried_out_while_another_is_asked_for(self, tmp_path: Path) -> None:
        """The one that was made counts, once; Asterisk refuses the other one for a caller who is gone."""
        async with Office(tmp_path) as office:
            call = await self.unanswered(office, "c1", "continue c1", arrives_s=8.0)
            office.ari.peer.takes_s["continue c1"] = 4.0
            office.model.session.calls_tool("transfer_call", speech_s=0.0, destination="blind", reason="r", summary="2")
            await office.until(lambda: call.state is State.TRANSFERRING)
            assert await office.over(call) == TRANSFERRED
            assert len(office.events("call.transferred")) == len(office.events("call.transfer_failed")) == 1
            assert office.context.memories.knows(call.call_id, time.monotonic())
            assert_nothing_left(office, call)

    @pytest.mark.parametrize(("leg", "request_"), MOVES)
    @virtual_time
    async def test_and_another_is_made_whose_answer_comes_behind_the_callers_end(
        self, leg: str, request_: str, tmp_path: Path
    ) -> None:
        async with Office(tmp_path) as office:
            call = await self.unanswered(office, leg, request_, arrives_s=1e3)
            peer = office.ari.peer if leg == "c1" else office.ami.peer
            peer.takes_s[request_], peer.answers_s[request_] = 0.01, 1.0
            office.model.session.calls_tool("transfer_call", speech_s=0.0, destination="blind", reason="r", summary="2")
            assert await office.over(call) == TRANSFERRED
            assert len(office.events("call.transferred")) == 1
            assert_nothing_left(office, call)

    @pytest.mark.parametrize(("leg", "request_"), MOVES)
    @virtual_time
    async def test_and_the_caller_hangs_up(self, leg: str, request_: str, tmp_path: Path) -> None:
        """A seat's caller counts as one who has hung up only when Asterisk has had its time."""
        async with Office(tmp_path) as office:
            call = await self.unanswered(office, leg, request_, arrives_s=1e3)
            await passes(1.0 if leg == "c1" else LATE_S + 0.1)
            office.ari.leaves(leg)
            assert await office.over(call) == HUNG_UP
            assert office.events("call.transferred") == []
            assert not office.context.memories.knows(call.call_id, time.monotonic())
            assert_nothing_left(office, call)

    @staticmethod
    async def unanswered(office: Office, leg: str, request: str, *, arrives_s: float) -> Call:
        """A call that is back with the agent, because Asterisk has not answered the request that moves the caller."""
        call = await office.answered(leg)
        peer = office.ari.peer if leg == "c1" else office.ami.peer
        peer.takes_s[request] = arrives_s
        office.model.session.calls_tool("transfer_call", speech_s=0.0, destination="blind", reason="r", summary="s")
        await office.until(lambda: office.events("call.transfer_failed"))
        assert call.state is State.TALKING
        return call

    @staticmethod
    async def goes_on(office: Office, call: Call) -> None:
        assert call.state is State.TALKING
        office.ari.peer.takes_s.clear()
        heard_s = office.line(call).heard_s
        await passes(5.0)
        assert call.state is State.TALKING
        assert office.line(call).heard_s > heard_s
        office.model.session.calls_tool("transfer_call", destination="blind", reason="r", summary="s")
        assert await office.over(call) == TRANSFERRED
        assert_nothing_left(office, call)


class TestHangUpWhileAsteriskIsAsked:
    """For a transfer. A caller who hangs up was not transferred, and Asterisk has not failed."""

    @pytest.mark.parametrize("answers_s", [0.0, 1.0])
    @pytest.mark.parametrize(("leg", "request_"), MOVES)
    @virtual_time
    async def test_that_refuses(self, leg: str, request_: str, answers_s: float, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.ari.peer.refused["continue c1"] = NotFoundError("HTTP 404")
            office.ami.peer.refused["BlindTransfer"] = AmiRefusedError("no such channel")
            await self.hangs_up(office, leg, request_, answers_s=answers_s)

    @virtual_time
    async def test_that_takes_the_request_and_moves_nobody(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.ari.hanging_up.add("c1")
            await self.hangs_up(office, "c1", "continue c1", answers_s=1.0)

    @virtual_time
    async def test_that_does_not_answer(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            await self.hangs_up(office, "c1", "continue c1", answers_s=1e3)

    @virtual_time
    async def test_and_whose_channel_is_gone_later(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.peer.takes_s["continue c1"] = 1.0
            office.ari.peer.refused["continue c1"] = NotFoundError("HTTP 404")
            outcome = call.transfer(office.handoff())
            await office.until(lambda: "continue c1" in office.ari.peer.requests)
            office.ari.tell("ChannelHangupRequest", "c1")
            assert await outcome == TransferOutcome(HUNG_UP, None)
            office.ari.leaves("c1")
            assert await office.over(call) == HUNG_UP
            assert office.events("call.transfer_failed") == []
            assert_nothing_left(office, call)

    @staticmethod
    async def hangs_up(office: Office, leg: str, request: str, *, answers_s: float) -> None:
        call = await office.answered(leg)
        peer = office.ari.peer if leg == "c1" else office.ami.peer
        peer.takes_s[request], peer.answers_s[request] = 1.0, answers_s
        outcome = call.transfer(office.handoff())
        await office.until(lambda: any(each.startswith(request) for each in peer.requests))
        if leg not in office.ari.hanging_up:
            await passes(0.5)
            office.ari.leaves(leg)
        assert await office.over(call) == HUNG_UP
        assert await outcome == TransferOutcome(HUNG_UP, None)
        assert office.events("call.transferred") == office.events("call.transfer_failed") == []
        assert office.ended() == {"done/caller_hung_up": 1}
        count = office.metrics.registry.get_sample_value
        for result in ("done", "failed"):
            assert count("ariagent_transfers_total", {"kind": "blind", "result": result}) is None
        assert not office.context.memories.knows(call.call_id, time.monotonic())
        assert_nothing_left(office, call)


class TestCallerWhoComesBackAtOnce:
    @virtual_time
    async def test_is_turned_away_while_the_first_call_still_closes(self, tmp_path: Path) -> None:
        """A direct caller comes back on the same channel; the call before is not the one that serves it."""
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.peer.takes_s["destroy"] = 3.0
            office.model.session.calls_tool("transfer_call", speech_s=0.0, destination="blind", reason="r", summary="s")
            await office.until(lambda: "c1" not in office.ari.names)
            office.registry.refuse_new()
            office.ari.results.clear()
            office.enter("c1", "returned", "support", "EMPTY")
            await office.until(lambda: "c1" not in office.ari.names)
            assert call in office.registry.calls
            assert office.ari.results == {"c1": "busy"}
            assert await office.over(call) == TRANSFERRED


class TestWarmTransfer:
    @virtual_time
    async def test_a_caller_who_hangs_up_while_a_join_that_failed_is_ended_has_hung_up(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office)
            office.ari.peer.refused["continue c1"] = NotFoundError("HTTP 404")
            await office.until(lambda: "continue c1" in office.ari.peer.requests)
            office.ari.peer.takes_s["hang_up"] = 2.0
            await office.until(
                lambda: any(each.startswith(f"hang_up {WARM_PREFIX}") for each in office.ari.peer.requests)
            )
            await passes(1.0)
            office.ari.leaves("c1")
            assert await office.over(call) == HUNG_UP
            assert_nothing_left(office, call)

    @staticmethod
    async def begun(office: Office, *, answers_s: float | None = 5.0, kind: str = "warm") -> Call:
        call = await office.answered("c1")
        office.ari.human_answers_s = answers_s
        office.model.session.calls_tool("transfer_call", destination=kind, reason="r", summary="A refund.")
        await office.until(lambda: office.events("consult.called"))
        return call

    @virtual_time
    async def test_the_caller_talks_on_until_the_human_agent_has_heard_the_announcement(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office)
            assert (call.state, call.live().state) == (State.TALKING, "warm_transfer")
            assert "originate Local/support@ariagent-warm/n" in office.ari.peer.requests
            began = time.monotonic()
            office.model.session.speaks(1.0)
            await office.until(lambda: office.events("consult.answered"))
            assert call.state is State.TALKING
            assert await office.over(call) == TRANSFERRED
            assert time.monotonic() - began > 5.0 + office.ari.sound_lasts_s
            assert went_to(office, "c1") == ("ariagent-join", "support")
            assert office.ari.variables["c1", "ARIAGENT_JOIN"] == "Local/support@ariagent-warm/n;1"
            (told,) = office.events("call.transferred")
            assert told["kind"] == "warm"
            # The human agent's leg is the caller's now: it is not ours to hang up.
            assert office.ari.names == {
                channel: name for channel, name in office.ari.names.items() if channel.startswith(WARM_PREFIX)
            }
            assert len(office.ari.names) == 1
            hung_up = [each for each in office.ari.peer.requests if each.startswith(f"hang_up {WARM_PREFIX}")]
            assert not [each for each in hung_up if not each.endswith("-ear")]
            office.ari.names.clear()
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_join_that_asterisk_refuses_leaves_the_caller_with_the_agent_and_nobody_waiting(
        self, tmp_path: Path
    ) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office)
            office.ari.peer.refused["continue c1"] = REFUSED
            await office.until(lambda: office.events("call.transfer_failed"))
            await office.until(lambda: call.state is State.TALKING)
            await passes(0.1)
            assert not any(each.startswith(WARM_PREFIX) for each in office.ari.names)
            assert call.live().state == "talking"
            failed = {"kind": "warm", "result": "failed"}
            assert office.metrics.registry.get_sample_value("ariagent_transfers_total", failed) == 1
            # The model can try again.
            office.ari.peer.refused.clear()
            office.model.session.calls_tool("transfer_call", destination="warm", reason="r", summary="s")
            assert await office.over(call) == TRANSFERRED
            office.ari.names.clear()

    @virtual_time
    async def test_one_that_is_cancelled_in_the_same_breath_never_rings(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            wanted = {"destination": "warm", "reason": "r", "summary": "s"}
            office.model.session.speaks(tools=[("transfer_call", wanted), ("cancel_transfer", {})])
            assert call.live().state == "talking"
            await passes(5.0)
            assert not any(each.startswith("originate") for each in office.ari.peer.requests)
            office.ari.human_answers_s = 1.0
            office.model.session.speaks(tools=[("transfer_call", wanted)])
            assert await office.over(call) == TRANSFERRED
            office.ari.names.clear()

    @virtual_time
    async def test_one_that_is_cancelled_can_be_begun_anew_at_once(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office, answers_s=60.0)
            office.ari.human_answers_s = 2.0
            wanted = {"destination": "warm", "reason": "r", "summary": "s"}
            office.model.session.speaks(tools=[("cancel_transfer", {}), ("transfer_call", wanted)])
            assert await office.over(call, 30.0) == TRANSFERRED
            assert len(office.events("consult.called")) == 2
            office.ari.names.clear()

    @virtual_time
    async def test_a_human_agent_who_does_not_answer_is_told_to_the_model(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office, answers_s=None)
            await office.until(lambda: office.events("consult.dropped"))
            assert office.events("consult.dropped")[0]["why"] == "NOANSWER"
            assert (call.state, call.live().state) == (State.TALKING, "talking")
            heard_s = office.line(call).heard_s
            await passes(2.0)
            assert office.line(call).heard_s > heard_s
            office.ari.leaves("c1")
            await office.over(call)
            assert_nothing_left(office, call)

    @virtual_time
    async def test_one_that_asterisk_refuses_is_told_to_the_model(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.ari.peer.refused["originate"] = REFUSED
            call = await self.begun(office)
            await office.until(lambda: office.events("consult.dropped"))
            assert office.events("consult.failed") != []
            assert call.state is State.TALKING

    @virtual_time
    async def test_a_human_agent_who_hangs_up_again_is_told_to_the_model(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office)
            await office.until(lambda: any(each.startswith("play ") for each in office.ari.peer.requests))
            leg, *_ = [channel for channel in office.ari.names if channel.startswith(WARM_PREFIX)]
            await passes(1.0)
            office.ari.leaves(leg)
            await office.until(lambda: office.events("consult.dropped"))
            assert office.events("consult.dropped")[0]["why"] == "GONE"
            assert call.state is State.TALKING

    @virtual_time
    async def test_the_model_may_cancel_it(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office)
            await passes(1.0)
            office.model.session.calls_tool("cancel_transfer")
            await office.until(lambda: office.events("consult.dropped"))
            await office.until(lambda: not any(each.startswith(WARM_PREFIX) for each in office.ari.names))
            await passes(30.0)
            assert call.state is State.TALKING
            assert office.events("consult.answered") == []

    @virtual_time
    async def test_a_caller_who_hangs_up_meanwhile_leaves_nobody_ringing(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office, answers_s=60.0)
            await passes(3.0)
            office.ari.leaves("c1")
            assert await office.over(call) == HUNG_UP
            assert_nothing_left(office, call)

    @virtual_time
    async def test_where_asterisk_cannot_play_the_announcement_the_key_gets_the_caller(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.ari.sound_lasts_s = 0.0
            office.ari.human_presses = "1"
            call = await self.begun(office)
            assert await office.over(call) == TRANSFERRED
            assert office.events("call.transferred")[0]["announcement"] == "failed"
            office.ari.names.clear()

    @virtual_time
    async def test_where_they_cannot_hear_what_it_is_about_the_caller_stays_and_the_model_is_told(
        self, tmp_path: Path
    ) -> None:
        async with Office(tmp_path) as office:
            office.ari.sound_lasts_s = 0.0
            call = await self.begun(office)
            await office.until(lambda: office.events("consult.dropped"))
            assert office.events("consult.dropped")[0]["why"] == "UNHEARD"
            await office.until(lambda: office.model.session.told("could not be told what it is about"))
            assert call.state is State.TALKING
            office.ari.leaves("c1")
            await office.over(call)
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_voicemail_does_not_get_the_caller_and_the_model_is_told(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office)
            await office.until(lambda: len(office.lines) == 2)
            beep = (4000 * np.sin(2 * np.pi * 1000 * np.arange(3200) / 8000)).astype("<i2").tobytes()
            line = next(line for line in office.lines.values() if line is not office.line(call))
            line.sounds.extend(beep[n : n + 320] for n in range(0, len(beep), 320))
            await office.until(lambda: office.events("consult.dropped"))
            assert office.events("consult.dropped")[0]["why"] == "MACHINE"
            await office.until(lambda: office.model.session.told("a machine answered"))
            assert call.state is State.TALKING
            office.ari.leaves("c1")
            await office.over(call)
            assert_nothing_left(office, call)

    @virtual_time
    async def test_what_listens_to_the_human_agent_is_not_taken_for_something_left_over(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await self.begun(office)
            await office.until(lambda: len(office.lines) == 2)
            await passes(0.1)
            had = {*office.ari.names, *office.ari.bridges}
            await office.registry.catch_up()
            await passes(0.1)
            assert {*office.ari.names, *office.ari.bridges} == had
            assert office.events("orphan_call.found") == []
            office.ari.leaves("c1")
            await office.over(call)
            assert_nothing_left(office, call)


class TestAcceptedByKey:
    """An announced transfer whose human agent presses a key."""

    @pytest.mark.parametrize("playable", [True, False])
    @virtual_time
    async def test_it_stays_announced_also_where_asterisk_cannot_play_the_announcement(
        self, playable: bool, tmp_path: Path
    ) -> None:
        place = {"description": "the human agents", "queue": "support", "kind": "briefed", "accept": "5"}
        async with Office(tmp_path, agent={"handoff": ["briefed"]}, destinations={"briefed": place}) as office:
            call = await office.answered("c1")
            if not playable:
                office.context.announcements.tried(False)
            office.model.session.calls_tool("transfer_call", destination="briefed", reason="r", summary="s")
            assert await office.over(call) == TRANSFERRED
            assert went_to(office, "c1") == ("ariagent-accept-queue", "support")
            assert office.ari.variables["c1", "ARIAGENT_ACCEPT"] == "5"
            assert office.events("call.transferred")[0]["kind"] == "briefed"
            assert (office.events("call.transferred")[0]["announcement"] == "failed") == (not playable)


def _faulty(*given: object) -> NoReturn:
    raise RuntimeError("an internal error")


class TestSupervisor:
    """Whoever transfers a call waits for what comes of it."""

    @staticmethod
    async def outcome(office: Office, waiting: "asyncio.Future[TransferOutcome]") -> TransferOutcome:
        async with asyncio.timeout(200.0):
            return await waiting

    @virtual_time
    async def test_transferred(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.speaks(2.0)
            handoff = office.handoff("blind")
            waiting = call.transfer(handoff)
            await passes(1.0)
            assert not waiting.done()
            assert await self.outcome(office, waiting) == TransferOutcome(TRANSFERRED, handoff)
            assert await office.over(call) == TRANSFERRED

    @virtual_time
    async def test_a_fault_while_asterisk_is_asked(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.peer.takes_s["continue c1"] = 4.0
            waiting = call.transfer(office.handoff("blind"))
            await office.until(lambda: call.state is State.TRANSFERRING)
            await passes(0.1)
            call._dialogue.frame = _faulty  # type: ignore[method-assign]
            outcome = await self.outcome(office, waiting)
            assert outcome.termination is not None
            assert outcome.termination.reason == "fault"
            await office.over(call)

    @virtual_time
    async def test_transferred_before_asterisk_says_so(self, tmp_path: Path) -> None:
        """That the caller has left is heard of first; which transfer it was is known all the same."""
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.peer.answers_s["continue c1"] = 0.5
            handoff = office.handoff("blind")
            assert await self.outcome(office, call.transfer(handoff)) == TransferOutcome(TRANSFERRED, handoff)

    @virtual_time
    async def test_the_sentence_in_progress_is_waited_for_a_few_seconds_and_speaking_does_not_help(
        self, tmp_path: Path
    ) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.speaks(30.0)
            began = time.monotonic()
            call.transfer(office.handoff("blind"))
            assert await office.over(call) == TRANSFERRED
            assert time.monotonic() - began == pytest.approx(MOVE_TIMEOUT_S, abs=0.2)

    @virtual_time
    async def test_the_caller_cannot_talk_it_away(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.speaks(30.0)
            call.transfer(office.handoff("blind"))
            await passes(0.5)
            office.model.session.caller_begins()
            assert await office.over(call) == TRANSFERRED

    @virtual_time
    async def test_refused(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.peer.refused["continue c1"] = REFUSED
            waiting = call.transfer(office.handoff("blind"))
            assert await self.outcome(office, waiting) == TransferOutcome(None, None)
            assert call.state is State.TALKING

    @virtual_time
    async def test_nobody_found(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            waiting = call.transfer(office.handoff("warm"))
            await passes(10.0)
            assert not waiting.done()
            assert await self.outcome(office, waiting) == TransferOutcome(None, None)
            assert call.state is State.TALKING

    @virtual_time
    async def test_somebody_found(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.human_answers_s = 3.0
            handoff = office.handoff("warm")
            outcome = await self.outcome(office, call.transfer(handoff))
            assert outcome.termination == TRANSFERRED
            assert outcome.went is not None
            assert (outcome.went.name, outcome.went.by) == ("warm", "anna")
            await office.over(call)
            office.ari.names.clear()

    @pytest.mark.parametrize("kind", ["blind", "warm"])
    @virtual_time
    async def test_the_call_ended(self, kind: str, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.speaks(4.0)
            waiting = call.transfer(office.handoff(kind))
            await passes(1.0)
            office.ari.leaves("c1")
            assert await self.outcome(office, waiting) == TransferOutcome(HUNG_UP, None)

    @virtual_time
    async def test_moved_elsewhere(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            first = call.transfer(office.handoff("warm", by="anna"))
            await passes(2.0)
            elsewhere = office.handoff("blind", by="ben")
            second = call.transfer(elsewhere)
            expected = TransferOutcome(TRANSFERRED, elsewhere)
            assert await self.outcome(office, first) == expected
            assert await self.outcome(office, second) == expected
            await office.over(call)
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_second_one_has_to_wait(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.speaks(4.0)
            call.transfer(office.handoff("blind", by="anna"))
            with pytest.raises(CallStateError, match="anna is transferring the caller to blind already"):
                call.transfer(office.handoff("blind", by="ben"))

    @virtual_time
    async def test_a_second_warm_one_has_to_wait(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            call.transfer(office.handoff("warm", by="anna"))
            await passes(1.0)
            with pytest.raises(CallStateError):
                call.transfer(office.handoff("warm", by="ben"))

    @virtual_time
    async def test_a_warm_transfer_is_refused_while_the_agent_announces_another_one(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("transfer_call", speech_s=5.0, destination="blind", reason="r", summary="s")
            await office.until(lambda: call.state is State.BEFORE_TRANSFER)
            with pytest.raises(CallStateError, match="is transferring the caller already"):
                call.transfer(office.handoff("warm", by="anna"))
            assert office.events("call.transfer_ordered") == []
            assert await office.over(call) == TRANSFERRED

    @virtual_time
    async def test_a_call_that_is_not_in_conversation_is_not_transferred(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = office.enter("c1", "default")
            assert call is not None
            with pytest.raises(CallStateError, match="preparing"):
                call.transfer(office.handoff())
            with pytest.raises(CallStateError, match="preparing"):
                call.whisper("Be kind.", "anna")

    @virtual_time
    async def test_who_does_not_wait_any_more_changes_nothing(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.speaks(3.0)
            call.transfer(office.handoff("blind")).cancel()
            assert await office.over(call) == TRANSFERRED

    @virtual_time
    async def test_whispers_to_the_model_for_its_next_words_or_at_once(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            session = office.model.session
            call.whisper("Offer a refund.", "anna")
            assert session.told("Offer a refund.")
            assert [m["type"] for m in session.heard].count("response.create") == 1
            call.whisper("Say so now.", "anna", now=True)
            assert session.told("Say so now.")
            assert session.heard[-1]["type"] == "response.create"
            assert office.events("call.whispered") == [{"call": "c1", "by": "anna"}] * 2


class TestWatchdog:
    @virtual_time
    async def test_a_caller_who_sends_no_audio_goes_to_people(self, tmp_path: Path) -> None:
        async with Office(tmp_path, watchdog={"no_audio_s": 20.0}, agent={"silence": None}) as office:
            call = await office.answered("c1")
            office.line(call).sends = False
            began = time.monotonic()
            assert await office.over(call) == Termination(Result.PERSON, "no_audio")
            assert time.monotonic() - began == pytest.approx(20.0, abs=0.2)
            assert office.ari.results == {"c1": "person"}
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_seat_that_sends_no_audio_is_put_into_the_bridge_anew(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("s1")
            joined = office.ari.peer.requests.count("join s1")
            office.line(call).sends = False
            await passes(0.5)
            assert office.ari.peer.requests.count("join s1") == joined + 1
            office.ari.peer.refused["join s1"] = REFUSED
            await passes(2.0)
            assert office.ari.peer.requests.count("join s1") > joined + 1
            assert call.state is State.TALKING

    @virtual_time
    async def test_a_direct_caller_is_left_where_they_are(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            joined = office.ari.peer.requests.count("join c1")
            office.line(call).sends = False
            await passes(5.0)
            assert office.ari.peer.requests.count("join c1") == joined


class TestMediaLost:
    @pytest.mark.parametrize("reason", [Reason.LOST, Reason.MALFORMED, Reason.PEER_CLOSED])
    @virtual_time
    async def test_the_audio_connection(self, reason: Reason, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.line(call).lose(reason)
            ended = await office.over(call)
            assert (ended.result, ended.reason) == (Result.ERROR, "media_failed")
            assert office.ari.results == {"c1": "error"}
            malformed = office.metrics.registry.get_sample_value("ariagent_malformed_total", {"peer": "asterisk"})
            assert malformed == (1 if reason is Reason.MALFORMED else None)

    @pytest.mark.parametrize("kind", ["ChannelDestroyed", "ChannelLeftBridge"])
    @virtual_time
    async def test_the_media_channel(self, kind: str, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.ari.tell(kind, call.media.channel, cause=16)
            ended = await office.over(call)
            assert (ended.reason, office.ari.results) == ("media_failed", {"c1": "error"})


class TestEndOfTheService:
    @virtual_time
    async def test_a_stop_sends_callers_to_people(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            calls = [await office.answered("c1"), await office.answered("s1")]
            await office.registry.stop()
            assert office.ended() == {"error/stopped": 2}
            assert office.ari.results == {"c1": "error", "s1": "error"}
            assert_nothing_left(office, *calls)

    @virtual_time
    async def test_a_leave_keeps_callers_in_asterisk_and_says_what_they_wait_for(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            speaks = await office.answered("c1")
            office.model.session.speaks(5.0)
            await passes(1.0)
            waits = await office.answered("c2")
            await office.registry.leave()
            left = Termination(Result.LEFT, "next_process")
            assert (speaks.termination, waits.termination) == (left, left)
            unfinished = {fields["call"]: fields["unfinished"] for fields in office.events("call.left")}
            assert unfinished == {"c1": "words", "c2": "nothing"}
            assert {"c1", "c2"} <= set(office.ari.names)
            assert {speaks.media.bridge, waits.media.bridge} <= office.ari.bridges
            assert office.events("call.ended") == []
            assert not any(each.startswith("continue") for each in office.ari.peer.requests)

    @virtual_time
    async def test_a_leave_hangs_up_on_a_human_agent_who_is_being_called(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            call.transfer(office.handoff("warm"))
            await passes(2.0)
            await office.registry.leave()
            assert [fields["unfinished"] for fields in office.events("call.left")] == ["warm_transfer"]
            await passes(0.1)
            assert not any(each.startswith(WARM_PREFIX) for each in office.ari.names)

    @virtual_time
    async def test_a_leave_lets_a_goodbye_be_heard_and_a_transfer_be_made(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            goodbye = await office.answered("c1")
            office.model.session.calls_tool("end_call", speech_s=1.0)
            transfer = await office.answered("c2")
            office.model.session.calls_tool("transfer_call", speech_s=9.0, destination="blind", reason="r", summary="s")
            await office.registry.leave()
            assert goodbye.termination == Termination(Result.DONE, "agent_ended")
            assert transfer.termination == TRANSFERRED


class TestPeopleWhoTransferCallsToTheAgent:
    @virtual_time
    async def test_attended_into_a_direct_call(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            await passes(3.0)
            new = {"caller": {"number": "5552000", "name": "Eve"}, "state": "Up"}
            office.ari.names["c2"] = "PJSIP/eve-2"
            office.ari.tell("StasisStart", "c2", args=[], channel=new, replace_channel={"id": "c1"})
            office.ari.tell(
                "ChannelConnectedLine", call.media.channel, channel={"connected": {"number": "5552000", "name": "Eve"}}
            )
            office.ari.tell("StasisEnd", "c1")
            assert call.leg == "c2"
            await office.until(lambda: office.events("call.caller_changed"))
            assert office.events("call.caller_changed") == [{"call": "c1", "was": "5551000", "caller": "5552000"}]
            live = call.live()
            assert (live.caller_number, live.caller_name, live.state) == ("5552000", "Eve", "talking")
            assert live.channel == "PJSIP/eve-2"
            heard_s = office.line(call).heard_s
            await passes(3.0)
            assert office.line(call).heard_s > heard_s  # they are greeted
            office.ari.leaves("c2")
            assert await office.over(call) == HUNG_UP
            (told,) = office.events("call.ended")
            assert told["talk_human_agent_s"] >= 3.0
            assert told["talk_caller_s"] == pytest.approx(told["talk_s"] - told["talk_human_agent_s"], abs=0.01)
            await passes(4.0)
            assert office.ari.names.keys() <= {"c1"}

    @virtual_time
    async def test_attended_into_a_seat(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("s1")
            office.ari.names["e1"] = "PJSIP/eve-1"
            office.ari.variables[call.arrival.channel.name.replace(";2", ";1"), "BRIDGEPEER"] = "PJSIP/eve-1"
            office.ari.names["s1-first"] = "Local/03@ariagent-seat-s1;1"
            event = attended(target="Local/03@ariagent-seat-s1;1", transferee="PJSIP/eve-1")
            office.registry.transferred(event)
            await office.until(lambda: office.events("call.caller_changed"))
            assert call.live().caller_number == "5552000"
            await passes(5.0)
            assert call.state is State.TALKING
            # Nobody's dialplan waits for the seat any more: the human queue is reached through the manager interface.
            office.ami.peers["Local/03@ariagent-seat-s1;1"] = "PJSIP/eve-1"
            office.ari.variables["s1", "ARIAGENT_HUMAN_QUEUE"] = "sales"
            await office.registry.stop()
            told = {sent["Variable"]: sent["Value"] for sent in office.ami.sent if sent.get("Channel") == "PJSIP/eve-1"}
            assert told["__ARIAGENT_HUMAN_QUEUE"] == "sales"
            assert office.ami.sent[-1]["Action"] == "BlindTransfer"
            assert (office.ami.sent[-1]["Context"], office.ami.sent[-1]["Exten"]) == ("ariagent-human", "human")

    @virtual_time
    async def test_a_seat_that_nobody_is_left_at_ends(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("s1")
            office.ari.names["s1-first"] = "Local/03@ariagent-seat-s1;1"
            office.ari.variables["Local/03@ariagent-seat-s1;1", "CHANNEL(appname)"] = "Echo"
            office.registry.transferred(
                BlindTransferred("Success", "PJSIP/a", "Local/03@ariagent-seat-s1;1", "1.1", "default", "echo")
            )
            assert await office.over(call, 10.0) == Termination(Result.DONE, "transferred_away")
            assert "hang_up s1" in office.ari.peer.requests


def attended(**changes: str) -> AttendedTransferred:
    given = {
        "result": "Success",
        "first": "PJSIP/anna-1",
        "second": "PJSIP/anna-2",
        "transferee": "PJSIP/eve-1",
        "transferee_caller": "5552000",
        "transferee_name": "",
        "target": "Local/03@ariagent-seat-s1;1",
        "target_caller": "03",
        "target_name": "",
        "linked_id": "1.1",
    }
    return AttendedTransferred(**{**given, **changes})


class TestTools:
    @virtual_time
    async def test_of_the_sites_run_beside_the_call(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            function_call = office.model.session.calls_tool("order")
            await passes(0.1)
            assert office.tools.running == 1
            assert office.model.session.result(function_call) is None
            office.tools.go_on.set()
            await passes(0.1)
            assert office.model.session.result(function_call) == {"status": "ready"}
            await office.silent(call)
            assert [m["type"] for m in office.model.session.heard].count("response.create") == 2

    @virtual_time
    async def test_of_one_response_are_asked_about_once_when_all_are_answered(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            await office.answered("c1")
            office.model.session.speaks(0.4, tools=[("order", {}), ("order", {})])
            await passes(0.1)
            assert office.tools.running == 2
            before = len(office.model.session.heard)
            office.tools.go_on.set()
            await passes(5.0)
            told = office.model.session.heard[before:]
            outputs, asked = told[:2], told[2:]
            assert [message["item"]["type"] for message in outputs] == ["function_call_output"] * 2
            assert [message["type"] for message in asked] == ["response.create"]

    @virtual_time
    async def test_that_still_run_when_the_call_ends_are_given_up(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("order")
            await passes(0.1)
            office.ari.leaves("c1")
            assert await office.over(call) == HUNG_UP
            assert (office.tools.running, office.tools.given_up) == (1, 1)
            office.tools.go_on.set()
            await passes(1.0)
            assert_nothing_left(office, call)

    @virtual_time
    async def test_with_a_result_after_the_calls_end_harm_nothing(self, tmp_path: Path) -> None:
        """The result is there in the same turn of the event loop in which the call ends."""
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            function_call = office.model.session.calls_tool("order")
            await passes(0.1)
            office.tools.go_on.set()
            office.ari.leaves("c1")
            assert await office.over(call) == HUNG_UP
            assert office.model.session.result(function_call) in (None, {"status": "ready"})
            assert_nothing_left(office, call)

    @virtual_time
    async def test_a_slow_one_is_heard_of(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("order")
            await passes(0.5)
            heard_s = office.line(call).heard_s
            await passes(3.0)
            assert office.line(call).heard_s > heard_s  # a tone


class TestMemory:
    @virtual_time
    async def test_a_caller_whom_nobody_took_is_known_again(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.caller_begins()
            office.model.session.caller_ends("My order is 4711.")
            office.model.session.calls_tool("transfer_call", destination="blind", reason="r", summary="s")
            assert await office.over(call) == TRANSFERRED
            again = office.enter("c1", "returned", "support", "TIMEOUT")
            assert again is not None
            await office.until(lambda: again.state is State.TALKING)
            await passes(0.1)
            assert office.model.session.told("My order is 4711.")

    @virtual_time
    async def test_by_the_agent_who_transferred_them(self, tmp_path: Path) -> None:
        """Whatever the dialplan said of the first call is not said of the next number that they reach."""
        agents = {"default": AGENT, "service": {**AGENT, "instructions": "You are the service."}}
        async with Office(tmp_path, agents=agents) as office:
            call = office.enter("c1", "service")
            assert call is not None
            await office.until(lambda: call.state is State.TALKING)
            office.model.session.calls_tool("transfer_call", destination="blind", reason="r", summary="s")
            assert await office.over(call) == TRANSFERRED
            for name in ("__ARIAGENT_AGENT", "__ARIAGENT_RETURNED"):
                assert office.ari.variables["c1", name] == ""
            assert office.ari.variables["c1", "__ARIAGENT_APP"] == office.settings.asterisk.app
            office.ari.variables["c1", "ARIAGENT_RETURNED"] = "TIMEOUT"
            again = office.enter("c1", "returned", "support", "TIMEOUT")
            assert again is not None
            await office.until(lambda: again.state is State.TALKING)
            assert office.model.session.session.profile.instructions.startswith("You are the service.")


@virtual_time
async def test_nothing_keeps_a_call_that_has_ended(tmp_path: Path) -> None:
    """Each holds seconds of audio: a timer, a task or a table that still knew it would be felt."""
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        kept = weakref.ref(call)
        await passes(1.2)
        office.ari.leaves("c1")
        await office.over(call)
        del call
        office.lines.clear()  # the test's own
        office.model.sessions.clear()
        await passes(1.0)
        gc.collect()
        assert kept() is None
