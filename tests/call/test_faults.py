"""An internal error in any way into a call ends that call, the same way each time, and no other call."""

import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ariagent.ami.events import AttendedTransferred, BlindTransferred
from ariagent.audiosocket.endpoint import Reason
from ariagent.call import arrival
from ariagent.call import call as driver
from ariagent.call import events as ev
from ariagent.call.call import Call
from ariagent.call.machine import State
from ariagent.errors import CallStateError
from ariagent.termination import Result
from tests.call.incall import WARM_PREFIX, Office
from tests.call.virtualtime import passes, virtual_time

SEAT = "Local/03@ariagent-seat-s1;1"


class BugError(Exception):
    """A bug of ours."""


def boom(*args: Any, **kwargs: Any) -> Any:
    raise BugError("a bug of ours")


async def later_boom(*args: Any, **kwargs: Any) -> Any:
    raise BugError("a bug of ours")


def raises_on(call: Call, kind: type[ev.Event]) -> None:
    """The state machine has a bug in this event."""
    handle = call._machine.handle

    def faulty(event: ev.Event, now: float) -> Any:
        return boom() if isinstance(event, kind) else handle(event, now)

    call._machine.handle = faulty  # type: ignore[method-assign]


Patch = Callable[[object, str, Any], None]
Throw = Callable[[Office, Call, Patch], Awaitable[None]]
"""Breaks something of a call that is in conversation for good, and has it used."""


async def model_event(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "handle", boom)
    office.model.sessions[0].speaks()


async def model_event_in_the_observer(office: Office, call: Call, patch: Patch) -> None:
    patch(call._observer, "model", boom)
    office.model.sessions[0].speaks()


async def what_follows_from_a_model_event(office: Office, call: Call, patch: Patch) -> None:
    patch(call._observer, "tell", boom)
    office.model.sessions[0].caller_begins()
    office.model.sessions[0].caller_ends()


async def whoever_watches(office: Office, call: Call, patch: Patch) -> None:
    patch(call, "_changed", boom)
    office.model.sessions[0].caller_begins()
    office.model.sessions[0].caller_ends()


async def moment_to_renew_the_session(office: Office, call: Call, patch: Patch) -> None:
    patch(type(call._dialogue), "at_rest", property(boom))
    call._model._renew_at = 0.0
    call._model._known.set()


async def event_of_the_callers_channel(office: Office, call: Call, patch: Patch) -> None:
    raises_on(call, ev.CallerLeft)
    office.ari.tell("StasisEnd", "s1")


async def event_of_the_media_channel(office: Office, call: Call, patch: Patch) -> None:
    patch(call._parties, "shown", boom)
    office.ari.tell("ChannelConnectedLine", call.media.channel, channel={"connected": {"number": "1", "name": ""}})


async def key(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "press", boom)
    office.ari.tell("ChannelDtmfReceived", "s1", digit="5")


async def audio_frame_in(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "hear", boom)


async def look_at_the_callers_audio(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "listen", boom)


async def frame_out(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "frame", boom)


async def gap_in_the_callers_audio(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "batch", boom)
    office.line(call).sends = False


async def timer(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "tick", boom)
    office.ari.tell("ChannelDtmfReceived", "s1", digit="5")  # others may follow, for a while


async def timer_that_is_set(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "next_deadline", boom)
    office.model.sessions[0].speaks()


async def bridge_watchdog(office: Office, call: Call, patch: Patch) -> None:
    patch(call.media, "rejoin", later_boom)
    office.line(call).sends = False


async def command(office: Office, call: Call, patch: Patch) -> None:
    patch(call._transfers, "make", later_boom)
    office.model.sessions[0].calls_tool("transfer_call", destination="blind", reason="r", summary="s")


async def finished_command(office: Office, call: Call, patch: Patch) -> None:
    raises_on(call, ev.Transferred)
    office.model.sessions[0].calls_tool("transfer_call", destination="blind", reason="r", summary="s")


async def media_request(office: Office, call: Call, patch: Patch) -> None:
    """Feed the event as if the media leg had been under way all the time."""
    raises_on(call, ev.MediaReady)
    call.feed(ev.MediaReady())


async def tool(office: Office, call: Call, patch: Patch) -> None:
    office.tools.fault = BugError("a bug of ours")
    office.model.sessions[0].calls_tool("order")
    await passes(0.1)
    office.tools.go_on.set()


async def tool_result(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "tool_ended", boom)
    office.model.sessions[0].calls_tool("order")
    office.tools.go_on.set()


async def whisper(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "whisper", boom)
    call.whisper("Be kind.", "anna")


async def transfer_by_a_supervisor(office: Office, call: Call, patch: Patch) -> None:
    raises_on(call, ev.TransferRequested)
    outcome = await call.transfer(office.handoff("blind"))
    assert outcome.went is None
    assert outcome.termination is not None
    assert (outcome.termination.result, outcome.termination.reason) == (Result.ERROR, "fault")


async def fault_while_a_supervisor_waits(office: Office, call: Call, patch: Patch) -> None:
    waiting = call.transfer(office.handoff("warm"))
    await passes(1.0)
    patch(call._dialogue, "frame", boom)
    outcome = await waiting
    assert outcome.went is None
    assert outcome.termination is not None
    assert outcome.termination.reason == "fault"


async def attended_transfer(office: Office, call: Call, patch: Patch) -> None:
    patch(call._far_end, "moved", boom)
    office.registry.transferred(
        AttendedTransferred(
            "Success", "PJSIP/a-1", "PJSIP/a-2", "PJSIP/e-1", "5552000", "", SEAT, "03", "", linked_id="1.1"
        )
    )


async def blind_transfer_of_the_agent(office: Office, call: Call, patch: Patch) -> None:
    patch(call._far_end, "moved", boom)
    office.registry.transferred(BlindTransferred("Success", "PJSIP/a", SEAT, "1.1", "default", "echo"))


async def identification(office: Office, call: Call, patch: Patch) -> None:
    patch(driver, "party_after_transfer", later_boom)
    office.registry.transferred(
        AttendedTransferred(
            "Success", "PJSIP/a-1", "PJSIP/a-2", "PJSIP/e-1", "5552000", "", SEAT, "03", "", linked_id="1.1"
        )
    )


async def newcomer(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "caller_changed", boom)
    office.registry.transferred(
        AttendedTransferred(
            "Success", "PJSIP/a-1", "PJSIP/a-2", "PJSIP/e-1", "5552000", "", SEAT, "03", "", linked_id="1.1"
        )
    )


async def far_end_watch(office: Office, call: Call, patch: Patch) -> None:
    patch(call._far_end, "_look", later_boom)
    office.registry.transferred(BlindTransferred("Success", "PJSIP/a", SEAT, "1.1", "default", "echo"))


async def disconnected(office: Office, call: Call, patch: Patch) -> None:
    raises_on(call, ev.MediaFailed)
    office.line(call).lose(Reason.LOST)


async def warm_transfer(office: Office, call: Call, patch: Patch) -> None:
    patch(office.context.announcements, "tried", boom)
    office.ari.human_answers_s = 1.0
    office.model.sessions[0].calls_tool("transfer_call", destination="warm", reason="r", summary="s")
    await passes(10.0)


async def human_agent_who_answered(office: Office, call: Call, patch: Patch) -> None:
    patch(call._dialogue, "human_answered", boom)
    office.ari.human_answers_s = 1.0
    office.model.sessions[0].calls_tool("transfer_call", destination="warm", reason="r", summary="s")
    await passes(10.0)


async def end_of_a_warm_transfer(office: Office, call: Call, patch: Patch) -> None:
    raises_on(call, ev.TransferRequested)
    office.ari.human_answers_s = 1.0
    office.model.sessions[0].calls_tool("transfer_call", destination="warm", reason="r", summary="s")
    await passes(10.0)


async def service_that_stops(office: Office, call: Call, patch: Patch) -> None:
    raises_on(call, ev.StopRequested)
    call.feed(ev.StopRequested())


async def service_that_leaves(office: Office, call: Call, patch: Patch) -> None:
    raises_on(call, ev.LeaveRequested)
    call.feed(ev.LeaveRequested())


async def announcement(office: Office, call: Call, patch: Patch) -> None:
    patch(office.context.announcements, "look", boom)
    office.model.sessions[0].calls_tool("transfer_call", destination="briefed", reason="r", summary="s")


WAYS_IN: tuple[Throw, ...] = (
    model_event,
    model_event_in_the_observer,
    what_follows_from_a_model_event,
    whoever_watches,
    moment_to_renew_the_session,
    event_of_the_callers_channel,
    event_of_the_media_channel,
    key,
    audio_frame_in,
    look_at_the_callers_audio,
    frame_out,
    gap_in_the_callers_audio,
    timer,
    timer_that_is_set,
    bridge_watchdog,
    command,
    finished_command,
    media_request,
    tool,
    tool_result,
    whisper,
    transfer_by_a_supervisor,
    fault_while_a_supervisor_waits,
    attended_transfer,
    blind_transfer_of_the_agent,
    identification,
    newcomer,
    far_end_watch,
    disconnected,
    warm_transfer,
    human_agent_who_answered,
    end_of_a_warm_transfer,
    service_that_stops,
    service_that_leaves,
    announcement,
)


async def other_call_is_untouched(office: Office, other: Call) -> None:
    assert other.state is State.TALKING
    assert not other.faulty
    session = next(each for each in office.model.sessions if each.session is other._model.session)
    heard_s = office.line(other).heard_s
    session.speaks(1.0)
    await office.silent(other)
    assert office.line(other).heard_s - heard_s == pytest.approx(1.0)
    session.calls_tool("end_call")
    ended = await office.over(other)
    assert (ended.result, ended.reason) == (Result.DONE, "agent_ended")


@pytest.mark.parametrize("throw", WAYS_IN, ids=lambda throw: throw.__name__)
@virtual_time
async def test_of_a_call_in_conversation(throw: Throw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Office(tmp_path, agent={"silence": None}) as office:
        call = await office.answered("s1")
        other = await office.answered("c2")
        before = len(office.ari.peer.requests)

        def patch(target: object, name: str, value: Any) -> None:
            monkeypatch.setattr(target, name, value)

        await throw(office, call, patch)
        ended = await office.over(call, 60.0)
        monkeypatch.undo()
        assert (ended.result, ended.reason) == (Result.ERROR, "fault")
        if throw is newcomer:  # no dialplan of theirs waits for the seat
            assert office.ami.sent[-1]["Context"] == "ariagent-human"
        elif throw is not finished_command:  # there the caller has left already
            assert office.ari.results == {"s1": "error"}
            assert office.ari.peer.requests[before:].count("continue s1") == 1
            # The caller does not wait for what else is to be given back.
            rest = [f"hang_up {call.media.channel}", f"destroy {call.media.bridge}"]
            assert office.ari.peer.asked("continue s1", rest[0])
            assert office.ari.peer.asked("continue s1", rest[1])
        assert office.left_of(call) == []
        assert office.events("call.fault") == [{"call": "s1"}]
        assert [(e["call"], e["reason"]) for e in office.events("call.ended")] == [("s1", "fault")]
        assert office.ended() == {"error/fault": 1}
        assert len(office.registry) == 1
        await other_call_is_untouched(office, other)
        assert office.ended() == {"error/fault": 1, "done/agent_ended": 1}


@pytest.mark.parametrize("step", ["identify", "choose_agent", "_begin_dialogue", "model", "media", "answer"])
@virtual_time
async def test_before_the_call_is_answered(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Office(tmp_path) as office:
        other = await office.answered("c2")
        match step:
            case "identify" | "choose_agent":
                monkeypatch.setattr(arrival, step, later_boom)
            case "_begin_dialogue":
                monkeypatch.setattr(Call, step, boom)
            case "model":
                monkeypatch.setattr(office.model, "connect", boom)
                monkeypatch.setattr(type(office.model.session), "run", later_boom)
            case "media":
                monkeypatch.setattr(office.ari, "external_media", later_boom)
            case "answer":
                monkeypatch.setattr(office.ari, "answer", later_boom)
        call = office.enter("c1", "default")
        assert call is not None
        ended = await office.over(call, 60.0)
        monkeypatch.undo()
        assert (ended.result, ended.reason) == (Result.ERROR, "fault")
        assert office.ari.results == {"c1": "error"}
        assert office.left_of(call) == []
        assert len(office.events("call.fault")) == 1
        assert office.ended() == {"error/fault": 1}
        await other_call_is_untouched(office, other)


@pytest.mark.parametrize("part", ["media", "model", "leg", "observer", "warm"])
@virtual_time
async def test_while_all_is_given_back(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller has left by then, and the other things are given back all the same."""
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        other = await office.answered("c2")
        target, name, value = {
            "media": (call.media, "release", later_boom),
            "model": (call._model, "close", later_boom),
            "leg": (call._leg, "release", later_boom),
            "observer": (call._observer, "close", boom),
            "warm": (call._transfers.warm, "end", later_boom),
        }[part]
        monkeypatch.setattr(target, name, value)
        office.ari.leaves("c1")
        ended = await office.over(call, 120.0)
        monkeypatch.undo()
        assert ended.reason in ("fault", "caller_hung_up")
        assert len(office.registry) == 1
        await office.until(lambda: not office.left_of(call), 60.0)
        assert sum(office.ended().values()) == 1
        await other_call_is_untouched(office, other)


@virtual_time
async def test_a_call_that_a_fault_has_ended_takes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        monkeypatch.setattr(call._dialogue, "frame", boom)
        await office.until(lambda: call.faulty)
        sent = len(office.model.session.heard)
        call.feed(ev.EndRequested("agent_ended"))
        call.on_ari(None)  # type: ignore[arg-type]  # nothing looks at it
        call.audio_received(bytes(960), 0.0)
        assert call.frame_due(0.0) is None
        with pytest.raises(CallStateError):
            call.transfer(office.handoff())
        with pytest.raises(CallStateError):
            call.whisper("Be kind.", "anna")
        assert (call.over, call.live().state) == (True, "ending")
        assert office.registry.find("c1") is None
        assert len(office.model.session.heard) == sent
        ended = await office.over(call)
        assert (ended.result, ended.reason) == (Result.ERROR, "fault")
        assert len(office.events("call.fault")) == 1


@virtual_time
async def test_a_caller_does_not_wait_for_what_asterisk_does_not_give_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        office.ari.peer.takes_s |= {"hang_up": 1e3, "destroy": 1e3}
        monkeypatch.setattr(call._dialogue, "frame", boom)
        await office.until(lambda: office.ari.results.get("c1"), 1.0)
        await office.over(call)
        office.ari.peer.takes_s.clear()
        await office.until(lambda: not office.left_of(call), 60.0)
        assert office.ended() == {"error/fault": 1}
        assert not any(each.startswith(WARM_PREFIX) for each in office.ari.names)


@virtual_time
async def _one_fault(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        call._commands.put_nowait("no command")  # type: ignore[arg-type]
        await office.over(call)


def test_a_fault_is_told_once_and_by_nobody_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The event loop complains of an exception that nobody asks for, when it is cleared away."""
    _one_fault(tmp_path)
    gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []
    assert len([record for record in caplog.records if record.message == "call.fault"]) == 1
