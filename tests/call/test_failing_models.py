"""Callers whose model refuses, falls silent, fails or is lost; whole calls, in memory.

What a server does that is taken for which fault is in ``tests/realtime``.
"""

import time
from pathlib import Path

import pytest

from ariagent.call.call import Call
from ariagent.call.machine import State
from ariagent.dialogue.handoff import Handoff
from ariagent.realtime import events as rt
from ariagent.records.store import Store
from ariagent.termination import Result
from tests.call.incall import Office, Session, assert_nothing_left
from tests.call.virtualtime import passes, virtual_time

NO_ROUTE = rt.SessionFailed(rt.Fault.NETWORK, "no route")
BOTH_WAYS = pytest.mark.parametrize("leg", ["c1", "s1"], ids=["direct", "seat"])
LOST_NOTE = "interrupted for a moment"


async def answered(office: Office, leg: str) -> Call:
    return await office.answered(leg)


def counted(office: Office, name: str, **labels: str) -> float | None:
    return office.metrics.registry.get_sample_value(name, labels)


def asks(session: Session) -> None:
    """The caller's turn, which is to be answered."""
    session.caller_begins()
    session.caller_ends("Where is my order?")


def falls_silent(session: Session) -> None:
    """Begins a response and says nothing more."""
    session.says("response.created", response={"id": "silent", "conversation_id": "conv"})


def fails(session: Session, reason: str = "rate_limit_exceeded", status: str = "failed") -> None:
    response = {"id": f"failed_{session._model.next_number()}"}
    session.says("response.created", response=response)
    details = {"type": status, "reason": reason, "error": {"type": reason, "code": reason}}
    session.says("response.done", response={**response, "status": status, "status_details": details})


class TestRefused:
    @pytest.mark.parametrize("fault", [rt.Fault.CREDENTIALS, rt.Fault.LIMIT, rt.Fault.REQUEST, rt.Fault.NETWORK])
    @virtual_time
    async def test_a_direct_caller_goes_to_people_unanswered(self, fault: rt.Fault, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            office.model.refusal = rt.SessionFailed(fault, "it refuses")
            call = office.enter("c1", "default")
            assert call is not None
            ended = await office.over(call)
            assert (ended.result, ended.reason, ended.cause) == (Result.NO_MODEL, "model_unreachable", "it refuses")
            assert office.ari.results == {"c1": "no_model"}
            assert "answer c1" not in office.ari.peer.requests
            assert counted(office, "ariagent_realtime_failures_total", fault=fault.value) == 1
            assert office.doubts == ["model"]
            assert_nothing_left(office, call)

    @virtual_time
    async def test_one_call_more_than_it_has_room_for_leaves_the_others_alone(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            first = await office.answered("c1")
            office.model.refusal = rt.SessionFailed(rt.Fault.LIMIT, "session_limit_reached", full=True)
            second = office.enter("c2", "default")
            assert second is not None
            assert (await office.over(second)).result is Result.NO_MODEL
            assert office.ari.results == {"c2": "no_model"}
            office.model.refusal = None
            assert first.state is State.TALKING
            third = await office.answered("c3")
            for call in (first, third):
                office.ari.leaves(call.leg)
                await office.over(call)
            assert office.ended() == {"no_model/model_unreachable": 1, "done/caller_hung_up": 2}


class TestLost:
    @BOTH_WAYS
    @virtual_time
    async def test_without_a_destination_the_caller_goes_to_the_human_queue(self, leg: str, tmp_path: Path) -> None:
        async with Office(tmp_path, agent={"handoff": []}) as office:
            call = await answered(office, leg)
            office.model.refusal = NO_ROUTE
            began = time.monotonic()
            office.model.session.lose()
            ended = await office.over(call)
            assert (ended.result, ended.reason) == (Result.ERROR, "model_lost")
            assert [fields["cause"] for fields in office.events("model.lost")] == ["cut off"]
            assert time.monotonic() - began < office.settings.realtime.recover_s + 1.0
            assert office.ari.results == {leg: "error"}
            assert_nothing_left(office, call)

    @BOTH_WAYS
    @virtual_time
    async def test_with_one_they_go_there_with_what_was_said_so_far(self, leg: str, tmp_path: Path) -> None:
        async with Office(tmp_path, agent={"handoff": ["warm"]}) as office:
            call = await answered(office, leg)
            office.model.refusal = NO_ROUTE
            office.model.session.lose()
            assert (await office.over(call)).result is Result.TRANSFERRED
            (told,) = office.events("call.transferred")
            # Nobody looks for a human agent who could hear an announcement: there is no model to speak it.
            assert (told["by"], told["kind"], told["destination"]) == ("ariagent", "blind", "warm")
            if leg == "c1":
                assert office.ari.variables["c1", "__ARIAGENT_SUMMARY"].startswith("agent: Words of item_1.")
            else:
                (summary,) = [s["Value"] for s in office.ami.sent if s.get("Variable") == "__ARIAGENT_SUMMARY"]
                assert summary.startswith("agent: Words of item_1.")

    @BOTH_WAYS
    @virtual_time
    async def test_what_was_prepared_for_an_earlier_transfer_is_not_for_that_one(
        self, leg: str, tmp_path: Path
    ) -> None:
        async with Office(tmp_path, agent={"handoff": ["warm"]}) as office:
            call = await answered(office, leg)
            office.model.session.calls_tool("transfer_call", destination="warm", reason="r", summary="an earlier wish")
            await office.until(lambda: office.events("consult.called"))
            await passes(1.0)
            office.model.refusal = NO_ROUTE
            office.model.session.lose()
            assert (await office.over(call)).result is Result.TRANSFERRED
            (told,) = office.events("call.transferred")
            assert (told["kind"], told.get("announcement", "")) == ("blind", "")
            given = [value for (_, name), value in office.ari.variables.items() if name == "ARIAGENT_ANNOUNCEMENT"]
            given += [s["Value"] for s in office.ami.sent if s.get("Variable") == "ARIAGENT_ANNOUNCEMENT"]
            assert given == [""]
            assert office.events("announcement.not_spoken") == []
            assert [fields["why"] for fields in office.events("consult.dropped")] == ["CANCELLED"]

    @BOTH_WAYS
    @virtual_time
    async def test_while_nobody_speaks_the_caller_hears_nothing_of_it(self, leg: str, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await answered(office, leg)
            heard_s = office.line(call).heard_s
            office.model.session.lose()
            await office.until(lambda: office.events("model.reconnected"), 5.0)
            await passes(1.0)
            assert office.line(call).heard_s == heard_s
            assert office.model.session.told("Words of item_1.")
            assert not office.model.session.told(LOST_NOTE)
            assert counted(office, "ariagent_realtime_reconnects_total") == 1
            # It serves as the first one did.
            office.model.session.caller_begins()
            office.model.session.caller_ends("Hello?")
            office.model.session.speaks(1.0)
            await office.silent(call)
            assert office.line(call).heard_s > heard_s

    @virtual_time
    async def test_while_the_agent_speaks_it_goes_on_by_itself_with_its_memory(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            first = office.model.session
            first.says("response.created", response={"id": "r", "conversation_id": "conv"})
            delta = "A" * 4 * 8000  # half a second, and more to come
            first.says("response.output_audio.delta", response_id="r", item_id="cut", delta=delta)
            await passes(0.2)
            first.lose()
            await office.until(lambda: office.events("model.reconnected"), 5.0)
            await office.silent(call)
            second = office.model.session
            assert second is not first
            assert second.told("Words of item_1.")
            assert second.told(LOST_NOTE)
            assert [m["type"] for m in second.heard].count("response.create") == 1
            assert call.state is State.TALKING

    @virtual_time
    async def test_again_and_again_it_ends_with_people(self, tmp_path: Path) -> None:
        """Each new session is taken, and lost before it has proved itself."""
        async with Office(tmp_path, agent={"handoff": []}) as office:
            call = await office.answered("c1")

            def loses(session: Session) -> None:
                session.lose()

            office.model.script.extend([loses] * 50)
            office.model.session.caller_begins()
            office.model.session.lose()
            ended = await office.over(call, 60.0)
            assert (ended.result, ended.reason) == (Result.ERROR, "model_lost")
            assert len(office.model.sessions) < 10

    @virtual_time
    async def test_a_summary_that_is_wanted_meanwhile_is_asked_of_the_next_session(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await answered(office, "c1")
            office.ari.human_answers_s = 1.0
            office.model.refusal = NO_ROUTE
            office.model.session.lose()
            await office.until(lambda: office.events("model.lost"), 5.0)
            place = office.settings.destinations["warm"]
            call.transfer(Handoff("warm", place, by="anna"))
            await passes(0.1)
            office.model.refusal = None
            assert (await office.over(call)).result is Result.TRANSFERRED
            assert office.model.session.told('"conversation": "none"')
            assert office.events("announcement.not_spoken") == []
            (told,) = office.events("call.transferred")
            assert told["kind"] == "warm"

    @virtual_time
    async def test_at_another_endpoint_the_use_is_counted_under_the_models_name_there(self, tmp_path: Path) -> None:
        realtime = {"url": "ws://a.invalid/", "api_key": "none", "recover_s": 2.0, "model": "big"}
        fallback = {"url": "ws://b.invalid/", "api_key": "none", "model": "spare"}
        async with Office(tmp_path, records=True, realtime={**realtime, "fallback": fallback}) as office:
            call = await answered(office, "c1")
            office.context.model_health.session_failed(0, time.monotonic())
            office.model.session.lose()
            await office.until(lambda: office.events("model.reconnected"), 5.0)
            usage = {"output_token_details": {"audio_tokens": 7}}
            office.model.session.speaks(usage=usage)
            await office.silent(call)
            office.ari.leaves("c1")
            await office.over(call)
            assert office.context.journal.close()
            store = Store(tmp_path)
            [row] = store.past(None)
            assert [event.fields["model"] for event in store.events(row) if event.name == "usage"] == ["spare"]

    @pytest.mark.parametrize(("handoff", "result"), [([], Result.ERROR), (["warm"], Result.TRANSFERRED)])
    @virtual_time
    async def test_in_the_middle_of_a_goodbye_a_key_leads_to_people(
        self, handoff: list[str], result: Result, tmp_path: Path
    ) -> None:
        async with Office(tmp_path, agent={"handoff": handoff}) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("end_call", speech_s=20.0)
            await passes(1.0)
            office.model.refusal = NO_ROUTE
            office.model.session.lose()
            await passes(office.settings.realtime.recover_s + 1.0)
            assert call.state is State.SAYING_GOODBYE
            office.ari.tell("ChannelDtmfReceived", "c1", digit="5")
            ended = await office.over(call, 5.0)
            assert ended.result is result
            assert_nothing_left(office, call)

    @virtual_time
    async def test_in_the_middle_of_a_goodbye_it_does_not_change_the_end(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("end_call", speech_s=20.0)
            await passes(1.0)
            office.model.refusal = NO_ROUTE
            office.model.session.lose()
            ended = await office.over(call, 25.0)
            assert (ended.result, ended.reason) == (Result.DONE, "agent_ended")


class TestSilent:
    @BOTH_WAYS
    @virtual_time
    async def test_one_that_stops_in_mid_sentence_and_does_so_again_ends_with_people(
        self, leg: str, tmp_path: Path
    ) -> None:
        async with Office(tmp_path, agent={"handoff": []}) as office:
            call = await answered(office, leg)
            office.model.script.extend([falls_silent] * 10)
            asks(office.model.session)
            began = time.monotonic()
            falls_silent(office.model.session)
            ended = await office.over(call)
            assert (ended.result, ended.reason) == (Result.ERROR, "model_silent")
            assert "silent" in ended.cause
            # Two sessions had their time, and not a third.
            assert len(office.model.sessions) == 2
            stall_s = office.settings.realtime.stall_timeout_s
            assert time.monotonic() - began == pytest.approx(2 * stall_s, abs=2.0)
            assert office.ari.results == {leg: "error"}

    @virtual_time
    async def test_one_that_stops_once_is_replaced(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            heard_s = office.line(call).heard_s
            asks(office.model.session)
            falls_silent(office.model.session)
            await office.until(lambda: office.events("model.reconnected"))
            await passes(1.0)
            await office.silent(call)
            assert office.line(call).heard_s > heard_s
            assert call.state is State.TALKING


class TestFailedResponses:
    @virtual_time
    async def test_one_that_fails_once_is_asked_for_again_and_heard(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            heard_s = office.line(call).heard_s
            fails(office.model.session)
            await passes(2.0)
            assert office.line(call).heard_s > heard_s
            assert [fields["reason"] for fields in office.events("turn.failed")] == ["rate_limit_exceeded"]
            failed = counted(office, "ariagent_realtime_failed_responses_total", reason="rate_limit_exceeded")
            assert failed == 1
            assert (call.state, len(office.model.sessions)) == (State.TALKING, 1)

    @virtual_time
    async def test_a_model_that_only_refuses_hands_the_caller_to_people(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent={"handoff": []}) as office:
            call = await office.answered("c1")
            office.model.script.extend([fails] * 20)
            fails(office.model.session)
            ended = await office.over(call)
            assert (ended.result, ended.reason) == (Result.ERROR, "model_lost")
            assert "does not respond: rate_limit_exceeded" in ended.cause
            assert office.ari.results == {"c1": "error"}

    @virtual_time
    async def test_filtered_ones_are_counted_and_the_call_lives_on(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            for _ in range(2):
                office.model.session.caller_begins()
                office.model.session.caller_ends("Tell me.")
                fails(office.model.session, "content_filter", "incomplete")
                await passes(3.0)
            assert counted(office, "ariagent_realtime_failed_responses_total", reason="content_filter") == 2
            assert [fields["reason"] for fields in office.events("turn.failed")] == ["content_filter"] * 2
            assert call.state is State.TALKING


@virtual_time
async def test_a_call_of_an_agent_that_was_refused_shows_that_the_server_was_mended(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        refused = office.context.model_health.refused
        refused |= {"default": "no such voice", "other": "no such voice"}
        await office.answered("c1")
        assert (refused, office.doubts) == ({"other": "no such voice"}, ["model"])
