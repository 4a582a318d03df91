"""Whole calls with ``turns: fast``, in memory: what the caller hears, and what is left of a discarded answer."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from ariagent.audio.format import SLIN24
from ariagent.call.call import Call
from ariagent.call.recorded_calls import interrupted_calls
from ariagent.dialogue.history import Said, Used
from ariagent.dialogue.memory import Unfinished
from ariagent.realtime import events as rt
from ariagent.termination import Result
from tests.call.incall import Office, Session, assert_nothing_left
from tests.call.virtualtime import passes, virtual_time

FAST = {
    "turns": "fast",
    "fast_turns": {"hold_ms": 800, "threshold": 0.7},
    "opening": None,
    "interruptions": {"confirm": True},
    "keypad": {"pause_ms": 100},
}
FRAME_S = 0.02


class Judge:
    """Answers after 60 ms. ``probability`` None: it is late."""

    def __init__(self, probability: float | None = 1.0) -> None:
        self.probability = probability
        self.heard: list[bytes] = []
        self.within_s: list[float] = []
        self.given_up = 0

    async def judge(self, pcm: bytes, rate_hz: int, within_s: float) -> float | None:
        assert rate_hz == SLIN24.rate_hz
        self.heard.append(pcm)
        self.within_s.append(within_s)
        try:
            await asyncio.sleep(within_s if self.probability is None else 0.06)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return self.probability


class Talk:
    """A call in conversation, whose caller and model do what they are told."""

    def __init__(self, office: Office, call: Call) -> None:
        self.office = office
        self.call = call
        self.line = office.line(call)

    @classmethod
    async def of(cls, office: Office) -> "Talk":
        call = office.enter("c1", "default")
        assert call is not None
        await office.until(lambda: call.state.value == "talking")
        await passes(1.0)
        return cls(office, call)

    @property
    def session(self) -> Session:
        return self.office.model.session

    async def says(self, words: str | None = "Hello.", seconds: float = 1.0) -> None:
        """The caller speaks, and the server ends their turn after 0.2 s of silence."""
        await self.begins(seconds)
        await passes(seconds + 0.2)
        self.session.caller_ends(words)

    async def begins(self, seconds: float) -> None:
        self.line.speaks(seconds)
        self.session.caller_begins()

    def answers(self, seconds: float = 0.4, *tools: tuple[str, str], complete: bool = True) -> str:
        """The model answers; returns the response's id."""
        number, says = self.office.model.next_number(), self.session.says
        response_id, item_id = f"resp_{number}", f"item_{number}"
        says("response.created", response={"id": response_id, "conversation_id": "conv"})
        says("response.output_item.added", response_id=response_id, item={"id": item_id, "type": "message"})
        delta = base64.b64encode(bytes(48 * round(1000 * seconds))).decode()
        says("response.output_audio.delta", response_id=response_id, item_id=item_id, delta=delta)
        for name, arguments in tools:
            call = {"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}", "name": name}
            says("response.output_item.added", response_id=response_id, item=call)
            says("response.output_item.done", response_id=response_id, item={**call, "arguments": arguments})
        if complete:
            self.ends(number)
        return response_id

    def ends(self, number: int, status: str = "completed") -> None:
        says, response_id, item_id = self.session.says, f"resp_{number}", f"item_{number}"
        says("response.output_audio.done", response_id=response_id, item_id=item_id)
        words = {"item_id": item_id, "transcript": f"Words of {item_id}."}
        says("response.output_audio_transcript.done", response_id=response_id, **words)
        says("response.done", response={"id": response_id, "status": status})

    def turns(self, side: str = "caller") -> list[str]:
        """The words of this side's turns, as they were told."""
        return [fields["said"] for fields in self.office.events(f"turn.{side}")]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.session.heard if message["type"] == kind]

    def samples(self, name: str) -> dict[str, float]:
        """The values of a metric, by its label."""
        return {
            next(iter(sample.labels.values()), ""): sample.value
            for metric in self.office.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == name
        }


@virtual_time
async def test_a_turn_that_the_judge_takes_for_complete_is_answered_in_the_next_20_ms(tmp_path: Path) -> None:
    judge = Judge()
    async with Office(tmp_path, agent=FAST, judge=judge) as office:
        talk = await Talk.of(office)
        await talk.says()
        talk.answers(0.4)
        await passes(0.05)
        assert talk.line.heard_s == 0
        await passes(0.06 - 0.05 + FRAME_S + 0.001)
        assert 0 < talk.line.heard_s <= 2 * FRAME_S
        await office.silent(talk.call)
        assert talk.line.heard_s == pytest.approx(0.4)
        (answer,) = office.events("turn.answered")
        assert answer["held_ms"] == pytest.approx(60, abs=1)
        assert answer["service_ms"] <= 21
        assert talk.turns() == ["Hello."]
        assert talk.samples("ariagent_speculative_responses_total") == {"used": 1, "discarded": 0}
        office.ari.leaves("c1")
        await office.over(talk.call)
        assert_nothing_left(office, talk.call)


@virtual_time
async def test_the_judge_hears_the_turn_and_at_most_its_last_8_seconds(tmp_path: Path) -> None:
    judge = Judge(0.0)
    async with Office(tmp_path, agent=FAST, judge=judge) as office:
        talk = await Talk.of(office)
        await talk.says(seconds=1.0)
        await passes(2.0)
        # The server finds the beginning 0.2 s before it tells of it.
        assert SLIN24.ms(len(judge.heard[0])) == pytest.approx(1400, abs=50)
        loud = bytes(judge.heard[0])[-SLIN24.n_bytes(1200) : -SLIN24.n_bytes(220)]
        assert any(loud[-100:])
        assert not any(judge.heard[0][-SLIN24.n_bytes(180) :])
        await talk.says(seconds=20.0)
        await passes(0.1)
        assert SLIN24.ms(len(judge.heard[1])) == 8000


@pytest.mark.parametrize("judge", [None, Judge(None), Judge(0.3)], ids=["none", "late", "incomplete"])
@virtual_time
async def test_otherwise_it_is_answered_when_the_hold_time_is_over(judge: Judge | None, tmp_path: Path) -> None:
    async with Office(tmp_path, agent=FAST, judge=judge) as office:
        talk = await Talk.of(office)
        await talk.says()
        talk.answers(0.4)
        await passes(0.56)
        assert talk.line.heard_s == 0
        await passes(0.1)
        assert talk.line.heard_s > 0
        (answer,) = office.events("turn.answered")
        assert answer["response_ms"] == pytest.approx(800, abs=45)


@virtual_time
async def test_a_caller_who_goes_on_hears_nothing_and_has_said_one_thing(tmp_path: Path) -> None:
    judge = Judge(None)
    async with Office(tmp_path, agent=FAST, judge=judge) as office:
        talk = await Talk.of(office)
        await talk.says("I would like")
        talk.answers(0.4)
        await passes(0.1)
        await talk.says("a pizza.")
        assert judge.given_up == 1
        assert talk.line.heard_s == 0
        judge.probability = 1.0
        assert [message["item_id"] for message in talk.sent("conversation.item.delete")] == ["item_2"]
        talk.answers(0.4)
        await passes(1.0)
        await office.silent(talk.call)
        assert talk.line.heard_s == pytest.approx(0.4)
        assert talk.turns() == ["I would like a pizza."]
        assert talk.turns("agent") == ["Words of item_4."]
        assert len(office.events("turn.answered")) == 1
        assert len(office.events("turn.answer_discarded")) == 1
        assert office.events("turn.interrupted") == office.events("turn.dismissed") == []
        assert talk.samples("ariagent_speculative_responses_total") == {"used": 1, "discarded": 1}
        assert talk.samples("ariagent_interruptions_total") == {"": 0}


@virtual_time
async def test_a_caller_who_speaks_into_the_answer_is_counted_as_cut_off(tmp_path: Path) -> None:
    async with Office(tmp_path, agent=FAST, judge=Judge()) as office:
        talk = await Talk.of(office)
        await talk.says("I would like")
        talk.answers(4.0)
        await passes(0.5)
        await talk.begins(1.5)
        await passes(1.5)
        assert talk.samples("ariagent_cut_ins_total") == {"": 1}
        (cut,) = office.events("turn.cut_in")
        assert cut["after_ms"] == pytest.approx(430, abs=40)


@virtual_time
async def test_one_failing_judgement_is_no_fault_of_the_call(tmp_path: Path) -> None:
    async with Office(tmp_path, agent=FAST, judge=Judge(None)) as office:
        talk = await Talk.of(office)
        await talk.says()
        office.ari.leaves("c1")
        assert (await office.over(talk.call)).result is Result.DONE
        assert_nothing_left(office, talk.call)


@virtual_time
async def test_without_fast_turns_nobody_is_asked(tmp_path: Path) -> None:
    judge = Judge()
    async with Office(tmp_path, agent={**FAST, "turns": "server"}, judge=judge) as office:
        talk = await Talk.of(office)
        await talk.says()
        talk.answers(0.4)
        await passes(0.5)
        assert talk.line.heard_s == pytest.approx(0.4)
        assert judge.heard == []
        assert talk.call._recent is None


class TestInTheMiddle:
    """A held answer that calls a tool."""

    async def held(self, office: Office, tool: str = "order", arguments: str = "{}") -> Talk:
        talk = await Talk.of(office)
        await talk.says("My order?")
        talk.answers(0.4, (tool, arguments))
        await passes(0.1)
        return talk

    def nothing_was_said_or_done(self, talk: Talk) -> None:
        assert talk.line.heard_s == 0
        assert talk.turns() == ["My order?"]
        assert talk.turns("agent") == []
        assert talk.office.tools.running == 0
        assert talk.office.events("call.fault") == []

    @virtual_time
    async def test_the_caller_hangs_up(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            office.ari.leaves("c1")
            assert (await office.over(talk.call)).result is Result.DONE
            await passes(2.0)
            self.nothing_was_said_or_done(talk)
            assert len(office.events("turn.answer_discarded")) == 1
            assert_nothing_left(office, talk.call)

    @virtual_time
    async def test_the_session_is_lost_and_made_anew(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            talk.session.lose()
            await office.until(lambda: len(office.model.sessions) == 2)
            assert talk.turns() == ["My order?"]
            await office.until(lambda: talk.turns("agent"))
            assert talk.turns("agent") == ["Words of item_3."], "that the line was lost"
            assert talk.session.told("My order?")
            assert office.tools.running == 0
            assert talk.call.state.value == "talking"
            assert len(office.events("turn.answer_discarded")) == 1

    @virtual_time
    async def test_the_model_is_lost_for_good(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            office.model.refusal = rt.SessionFailed(rt.Fault.NETWORK, "gone")
            talk.session.lose()
            await office.over(talk.call)
            assert talk.turns() == ["My order?"]
            assert (talk.turns("agent"), office.tools.running) == ([], 0)

    @virtual_time
    async def test_a_supervisor_transfers_the_caller(self, tmp_path: Path) -> None:
        """The caller hears the answer first, as one that is being said; its tool runs once."""
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            outcome = talk.call.transfer(office.handoff("blind"))
            await passes(0.3)
            assert office.ari.results == {}
            office.tools.go_on.set()
            assert (await outcome).went is not None
            assert office.tools.running == 1
            assert talk.line.heard_s >= 0.4

    @virtual_time
    async def test_a_supervisor_transfers_a_caller_who_goes_on(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            outcome = talk.call.transfer(office.handoff("blind"))
            await talk.begins(2.0)
            assert (await outcome).went is not None
            await office.over(talk.call)
            self.nothing_was_said_or_done(talk)

    @pytest.mark.parametrize("tool", ["end_call", "transfer_call"])
    @virtual_time
    async def test_the_model_wants_to_leave_a_caller_who_goes_on(self, tool: str, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office, tool, '{"destination": "blind", "reason": "r", "summary": "s"}')
            assert talk.call.state.value == "talking"
            await talk.says("Wait.")
            talk.answers(0.4)
            await passes(2.0)
            assert talk.call.state.value == "talking"
            assert talk.turns() == ["My order? Wait."]

    @virtual_time
    async def test_it_does_leave_a_caller_who_does_not(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST, judge=Judge()) as office:
            talk = await self.held(office, "end_call")
            assert (await office.over(talk.call)).reason == "agent_ended"
            assert talk.line.heard_s == pytest.approx(0.4)

    @virtual_time
    async def test_a_key_is_pressed(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            office.ari.tell("ChannelDtmfReceived", "c1", digit="5")
            await office.until(lambda: office.events("call.digits"))
            self.nothing_was_said_or_done(talk)
            await office.silent(talk.call)
            assert talk.turns("agent") == ["Words of item_3."]
            assert (talk.line.heard_s, office.tools.running) == (pytest.approx(0.4), 0)

    @virtual_time
    async def test_a_supervisor_whispers(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            talk.call.whisper("Be brief.", "anna", now=True)
            await passes(0.3)
            assert talk.line.heard_s == 0
            office.tools.go_on.set()
            await office.silent(talk.call)
            assert talk.turns("agent")[:2] == ["Words of item_2.", "Words of item_3."]
            assert office.tools.running == 1

    @virtual_time
    async def test_the_service_leaves_the_call_to_the_next_process(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            await office.registry.leave()
            self.nothing_was_said_or_done(talk)
            (left,) = office.events("call.left")
            assert left["unfinished"] == Unfinished.ANSWER

    @virtual_time
    async def test_the_service_stops(self, tmp_path: Path) -> None:
        async with Office(tmp_path, agent=FAST) as office:
            talk = await self.held(office)
            await office.registry.stop()
            self.nothing_was_said_or_done(talk)

    @virtual_time
    async def test_a_tool_that_is_safe_to_repeat_has_run_when_the_caller_hears_of_it(self, tmp_path: Path) -> None:
        tools = {"order": {"description": "d", "url": "https://shop.example/", "safe_to_repeat": True}}
        async with Office(tmp_path, agent=FAST, tools=tools) as office:
            talk = await self.held(office)
            assert office.tools.running == 1
            office.tools.go_on.set()
            await passes(0.1)
            assert talk.session.result("call_2") is None
            await office.until(lambda: talk.session.result("call_2"))
            await office.silent(talk.call)
            assert talk.turns("agent") == ["Words of item_2.", "Words of item_3."]
            assert office.tools.running == 1

    @virtual_time
    async def test_and_one_of_a_discarded_answer_is_told_to_nobody(self, tmp_path: Path) -> None:
        tools = {"order": {"description": "d", "url": "https://shop.example/", "safe_to_repeat": True}}
        async with Office(tmp_path, agent=FAST, tools=tools) as office:
            talk = await self.held(office)
            await talk.begins(1.0)
            office.tools.go_on.set()
            await passes(1.2)
            assert (office.tools.running, talk.session.result("call_2")) == (1, None)
            assert {message["item_id"] for message in talk.sent("conversation.item.delete")} == {"item_2", "fc_2"}

    @pytest.mark.parametrize("released", [False, True])
    @virtual_time
    async def test_the_process_is_killed(self, released: bool, tmp_path: Path) -> None:
        """The record knows the words of an open turn, nothing of a held answer, and nothing twice."""
        async with Office(tmp_path, agent=FAST, records=True) as office:
            talk = await Talk.of(office)
            await talk.says("I would like")
            talk.answers(0.4, ("order", "{}"))
            await passes(0.1)
            await talk.says("a pizza.")
            talk.answers(0.4, ("order", "{}"))
            await passes(0.9 if released else 0.1)
            assert office.context.journal.close()
            (found,) = interrupted_calls(office.settings)
            asked, answered = Said("caller", "I would like a pizza."), Said("agent", "Words of item_4.")
            assert found.entries == ((asked, answered, Used("call_4", "order", "{}")) if released else (asked,))
