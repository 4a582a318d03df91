"""The life of the model's responses, at literal times (seconds). What goes out is read from the outbox."""

import json
from typing import Any

import pytest

from ariagent.config import AgentSettings, RealtimeSettings, ServerVad
from ariagent.realtime.dialect import OPENAI, SPEECH_TO_SPEECH, Dialect, Understanding
from ariagent.realtime.events import ToolCall
from ariagent.realtime.fields import MalformedError
from ariagent.realtime.gate import CREATED_WAIT_S, SERVER_RESPONSE_WAIT_S
from ariagent.realtime.items import OPEN_CALL, Items, Outbox
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.responses import (
    KEPT,
    LONGEST_TURN_S,
    MOST_CALLS,
    MOST_INCOMPLETE,
    MOST_ITEMS,
    TURNS_KEPT,
    UNPAID,
    Outcome,
    Responses,
)

STALL_S = 10.0
CALL = ToolCall("c1", "end_call", "{}")


class Core:
    """The responses of one session, and what they send."""

    def __init__(self, *, answers: bool = True, interrupts: bool = False, dialect: Dialect = OPENAI) -> None:
        vad = ServerVad(create_response=answers, interrupt_response=interrupts)
        profile = SessionProfile.of(AgentSettings(turn_detection=vad), RealtimeSettings(stall_timeout_s=STALL_S))
        self._outbox = Outbox()
        self.items = Items(self._outbox, Understanding(dialect))
        self.responses = Responses(profile, self._outbox, self.items)

    def sent(self) -> list[tuple[str, Any]]:
        """Types, each with what it is about."""
        messages = [json.loads(message) for message in self._outbox.take()]
        return [
            (m["type"], m.get("response", m.get("response_id", m.get("item_id", m.get("item", {}).get("call_id")))))
            for m in messages
        ]

    def asks(self, now: float, wanted: dict[str, Any] | None = None) -> str:
        """Have a response asked for; the id of the event that asks."""
        self.responses.want(wanted or {})
        self.responses.ask(now)
        (message,) = self._outbox.take()
        return str(json.loads(message)["event_id"])

    def asked_again(self, now: float) -> bool:
        self.responses.ask(now)
        return any(kind == "response.create" for kind, _ in self.sent())

    def turn(self, item_id: str, now: float) -> None:
        """The caller says something, for a tenth of a second."""
        self.responses.caller_began(now - 0.1)
        self.responses.caller_ceased(now)
        self.responses.turn_committed(item_id, now)

    def says(self, response_id: str, now: float) -> str | None:
        """A response begins, and something of it is heard."""
        answers = self.responses.started(response_id, now)
        self.responses.brings(response_id, now)
        return answers

    def ends(self, response_id: str, now: float, status: str = "completed", reason: str = "") -> Outcome:
        return self.responses.ended(response_id, status, reason, now)


@pytest.fixture
def core() -> Core:
    return Core()


class TestAnswers:
    """The response that answers each turn of the caller."""

    def test_a_response_answers_the_turn_before_it_once(self, core: Core) -> None:
        core.turn("u", 1.0)
        assert core.responses.awaits_answer("u")
        assert core.says("r1", 1.2) == "u"
        assert not core.responses.awaits_answer("u")
        core.ends("r1", 2.0)
        assert core.responses.started("r2", 2.1) is None

    def test_what_was_asked_for_before_the_turn_is_no_answer_to_it(self, core: Core) -> None:
        core.asks(1.0)
        core.turn("u", 1.1)
        assert core.says("ours", 1.2) is None
        assert core.responses.awaits_answer("u")
        core.ends("ours", 2.0)
        assert core.says("servers", 2.1) == "u"

    def test_a_server_that_answers_no_turns_is_asked_for_the_answer(self) -> None:
        core = Core(answers=False)
        core.turn("u", 1.0)
        assert core.asked_again(1.0)
        assert core.says("r", 1.2) == "u"

    def test_the_servers_own_answer_that_lost_a_race_is_asked_for(self, core: Core) -> None:
        core.says("r1", 0.5)
        core.turn("u", 1.0)
        core.responses.active_response_conflict(None, 1.1)
        assert not core.asked_again(1.1)
        core.ends("r1", 2.0)
        assert core.asked_again(2.0)
        assert core.responses.started("r2", 2.1) == "u"

    def test_what_was_wanted_is_in_the_servers_own_answer(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.responses.want({})
        core.says("r", 1.2)
        core.ends("r", 2.0)
        assert not core.asked_again(2.0)

    def test_words_of_ours_are_not(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.responses.want({"instructions": "Say goodbye"})
        core.says("r", 1.2)
        core.ends("r", 2.0)
        core.responses.ask(2.0)
        assert core.sent() == [("response.create", {"instructions": "Say goodbye"})]

    def test_functions_that_still_run_have_an_output_first_where_the_server_waits_for_one(self) -> None:
        core = Core(dialect=SPEECH_TO_SPEECH)
        for number, begins in enumerate((core.responses.caller_began, core.responses.ask)):
            core.items.called((ToolCall(f"c{number}", "look", "{}"),))
            core.responses.want({"instructions": "Wait"})
            begins(float(number))
            assert core.sent()[0] == ("conversation.item.create", f"c{number}")
            core.responses.caller_ceased(number - SERVER_RESPONSE_WAIT_S)


class TestDismissed:
    """The caller's turn was none."""

    def test_before_it_ended(self, core: Core) -> None:
        core.responses.caller_began(0.9)
        core.responses.dismiss("u", 1.0)
        assert core.sent() == []
        assert core.asks(1.0)  # nobody speaks
        core.responses.caller_ceased(1.1)
        core.responses.turn_committed("u", 1.1)
        assert core.sent() == [("conversation.item.delete", "u")]

    def test_before_it_is_answered(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.responses.dismiss("u", 1.1)
        assert core.sent() == [("conversation.item.delete", "u")]
        assert core.responses.started("r", 1.2) == "u"
        assert core.sent() == [("response.cancel", "r")]
        assert core.responses.discarded("r")
        assert core.responses.muted("r")

    def test_while_it_is_answered(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.says("r", 1.2)
        for item_id in ("a", "b", "a"):
            core.responses.item_added("r", item_id)
        core.responses.called("r", CALL)
        core.responses.dismiss("u", 1.3)
        assert core.sent() == [("conversation.item.delete", "u"), ("response.cancel", "r")]
        assert core.ends("r", 1.4, "cancelled") == Outcome(muted=True)
        assert core.sent() == [("conversation.item.delete", "a"), ("conversation.item.delete", "b")]
        assert not core.asked_again(9.0)

    def test_after_it_was_answered(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.says("r", 1.2)
        core.responses.item_added("r", "a")
        core.ends("r", 1.4)
        core.responses.dismiss("u", 1.5)
        assert core.sent() == [("conversation.item.delete", "u"), ("conversation.item.delete", "a")]

    def test_what_its_answer_made_unnecessary_is_wanted_again_once(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.responses.want({})
        core.says("r", 1.2)
        for now in (1.3, 1.4):
            core.responses.dismiss("u", now)
        core.ends("r", 1.5, "cancelled")
        assert core.asked_again(1.5)
        core.says("r2", 1.6)
        core.ends("r2", 1.7)
        core.responses.dismiss("u", 1.8)
        assert not core.asked_again(1.8)

    def test_nor_does_it_replace_what_is_wanted_since(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.responses.want({})
        core.says("r", 1.2)
        core.responses.dismiss("u", 1.3)
        core.responses.want({"instructions": "Say hello"})
        core.responses.dismiss("u", 1.4)
        core.ends("r", 1.5, "cancelled")
        core.responses.ask(1.5)
        assert core.sent()[-1] == ("response.create", {"instructions": "Say hello"})

    def test_what_was_answered_to_the_end_is_not_wanted_again(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.responses.want({})
        core.says("r", 1.2)
        core.ends("r", 1.5)
        core.responses.dismiss("u", 1.6)
        assert not core.asked_again(1.6)

    def test_a_server_that_answers_no_turns_is_not_asked(self) -> None:
        core = Core(answers=False)
        core.responses.caller_began(0.9)
        core.responses.dismiss("u", 1.0)
        core.responses.turn_committed("u", 1.1)
        assert not core.asked_again(9.0)

    def test_an_id_that_a_server_uses_again_is_another_response_and_another_turn(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.says("r", 1.1)
        core.responses.item_added("r", "a")
        core.ends("r", 1.2)
        core.turn("u", 2.0)
        core.responses.dismiss("u", 2.1)
        assert core.sent() == [("conversation.item.delete", "u")]
        core.responses.started("r", 2.2)
        core.responses.item_added("r", "b")
        core.ends("r", 2.3, "cancelled")
        assert core.sent() == [("response.cancel", "r"), ("conversation.item.delete", "b")]

    def test_nothing_is_owed_for_it(self, core: Core) -> None:
        core.turn("u", 1.0)
        assert core.responses.pending
        core.responses.dismiss("u", 1.1)
        assert not core.responses.pending
        assert core.responses.next_deadline() is None

    def test_it_is_not_asked_for_where_the_server_could_not_answer_it(self, core: Core) -> None:
        core.says("r1", 0.5)
        core.turn("u", 1.0)
        core.responses.active_response_conflict(None, 1.1)
        core.responses.dismiss("u", 1.2)
        core.ends("r1", 2.0)
        assert not core.asked_again(9.0)

    def test_the_refusal_of_its_answer_is_not_taken_for_one_of_ours(self, core: Core) -> None:
        core.responses.caller_began(0.4)
        core.responses.dismiss("u", 0.5)
        core.asks(0.5)
        core.says("ours", 0.6)
        core.responses.turn_committed("u", 1.0)
        core.responses.active_response_conflict(None, 1.1)
        core.ends("ours", 2.0)
        assert not core.asked_again(9.0)

    def test_that_excuses_no_request_of_ours_behind_another_response(self, core: Core) -> None:
        core.responses.dismiss("u", 0.5)
        core.says("r1", 0.6)
        core.responses.turn_committed("u", 1.0)
        core.ends("r1", 2.0)
        core.says("r2", 2.1)
        core.ends("r2", 2.2)
        core.sent()
        core.asks(3.0)
        core.responses.active_response_conflict(None, 3.1)
        assert core.asked_again(3.1 + SERVER_RESPONSE_WAIT_S)

    def test_other_turns_keep_their_answers(self, core: Core) -> None:
        core.turn("u1", 1.0)
        core.says("r1", 1.1)
        core.ends("r1", 1.5)
        core.turn("u2", 2.0)
        core.responses.dismiss("u2", 2.1)
        core.says("r2", 2.2)
        assert not core.responses.discarded("r1")
        assert core.responses.discarded("r2")


class TestSuperseded:
    """The caller continues after a pause: nobody heard the answer to what they said before it."""

    def goes_on(self, core: Core, *response_ids: str, now: float = 1.5) -> None:
        core.responses.caller_began(now)
        core.responses.interrupted(now, turn_over=False, answers=response_ids)
        core.responses.supersede("u1", response_ids)

    def test_one_that_runs_is_cancelled_and_forgotten_when_it_is_over(self, core: Core) -> None:
        core.turn("u1", 1.0)
        core.says("r", 1.2)
        core.responses.item_added("r", "a")
        self.goes_on(core, "r")
        assert core.sent() == [("response.cancel", "r")]
        assert core.responses.muted("r")
        assert core.ends("r", 1.6, "cancelled").superseded
        assert core.sent() == [("conversation.item.delete", "a")]

    def test_one_that_is_over_is_forgotten_at_once_and_its_calls_take_no_output(self, core: Core) -> None:
        core.turn("u1", 1.0)
        core.says("r", 1.2)
        core.responses.item_added("r", "a")
        core.responses.called("r", CALL)
        assert core.ends("r", 1.3).calls == (CALL,)
        self.goes_on(core, "r")
        assert core.sent() == [("conversation.item.delete", "a")]
        assert not core.items.answer_for_now()

    def test_one_that_begins_later_is_cancelled_then(self, core: Core) -> None:
        core.turn("u1", 1.0)
        self.goes_on(core)
        assert core.responses.started("r", 1.6) == "u1"
        assert core.sent() == [("response.cancel", "r")]
        assert core.responses.discarded("r")
        assert core.ends("r", 1.7, "cancelled").superseded

    def test_the_answer_to_the_rest_is_none_of_them(self, core: Core) -> None:
        core.turn("u1", 1.0)
        self.goes_on(core)
        core.turn("u2", 2.0)
        assert core.says("r", 2.2) == "u2"
        assert not core.responses.muted("r")
        assert not core.ends("r", 3.0).superseded

    def test_what_was_asked_for_is_not_wanted_either(self, core: Core) -> None:
        core.turn("u1", 1.0)
        core.says("r", 1.2)
        core.ends("r", 1.3)
        core.asks(1.4)
        self.goes_on(core, "r")
        core.responses.started("ours", 1.6)
        assert core.sent() == [("response.cancel", "ours")]

    def test_what_was_wanted_before_a_sound_that_continues_stays_wanted(self, core: Core) -> None:
        """The result of a tool, while a sound is judged that is none in the end."""
        core.turn("u1", 1.0)
        core.responses.want({})
        core.says("r", 1.2)
        core.responses.supersede("u1", ("r",))
        core.ends("r", 1.6, "cancelled")
        core.turn("u2", 2.0)
        core.says("r2", 2.1)
        core.responses.dismiss("u2", 2.2)
        core.ends("r2", 2.3, "cancelled")
        core.sent()
        assert core.asked_again(10.0)

    def test_nor_what_was_dropped_because_of_it(self, core: Core) -> None:
        core.turn("u1", 1.0)
        core.responses.want({})
        core.says("r", 1.2)
        self.goes_on(core, "r")
        core.ends("r", 1.6, "cancelled")
        core.sent()
        core.turn("u2", 2.0)
        core.says("r2", 2.1)
        core.ends("r2", 2.5)
        assert not core.asked_again(10.0)

    def test_a_server_that_cancels_by_itself_is_not_told_to(self) -> None:
        core = Core(interrupts=True)
        core.turn("u1", 1.0)
        core.says("r", 1.2)
        self.goes_on(core, "r")
        assert core.sent() == []
        assert core.responses.muted("r")

    def test_one_that_is_found_to_answer_a_noise_is_not_cancelled_again(self, core: Core) -> None:
        core.turn("u1", 1.0)
        core.says("r", 1.2)
        core.responses.supersede("u1", ("r",))
        core.responses.dismiss("u1", 1.5)
        assert core.sent() == [("response.cancel", "r"), ("conversation.item.delete", "u1")]

    def test_nobody_waits_for_it(self, core: Core) -> None:
        core.turn("u1", 1.0)
        self.goes_on(core)
        core.responses.caller_ceased(1.9)
        assert not core.responses.tick(1.0 + 2 * STALL_S, tool_runs=False)


class TestInterrupted:
    @pytest.mark.parametrize("interrupts", [True, False])
    def test_what_runs_is_muted_and_cancelled_where_the_server_does_not(self, interrupts: bool) -> None:
        core = Core(interrupts=interrupts)
        core.says("r", 1.0)
        core.responses.interrupted(1.5, turn_over=False, answers=())
        assert core.responses.muted("r")
        assert not core.responses.discarded("r")
        assert core.sent() == ([] if interrupts else [("response.cancel", "r")])

    def test_one_that_was_cancelled_is_not_cancelled_again(self, core: Core) -> None:
        core.says("r", 1.0)
        core.responses.interrupted(1.5, turn_over=False, answers=())
        core.responses.interrupted(1.6, turn_over=False, answers=())
        assert core.sent() == [("response.cancel", "r")]

    def test_what_is_wanted_is_not_asked_for(self, core: Core) -> None:
        core.says("r", 1.0)
        core.responses.want({})
        core.responses.interrupted(1.5, turn_over=False, answers=())
        core.ends("r", 2.0, "cancelled")
        assert not core.asked_again(2.0)

    def test_after_the_turn_its_answer_and_what_is_wanted_stay(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.says("r", 1.2)
        core.responses.want({"instructions": "Say hello"})
        core.responses.interrupted(1.5, turn_over=True, answers=("r",))
        assert not core.responses.muted("r")
        core.ends("r", 2.0)
        assert core.asked_again(2.0)

    def test_what_was_asked_for_and_has_not_begun_is_cut_off_when_it_begins(self, core: Core) -> None:
        core.asks(1.0)
        core.responses.interrupted(1.1, turn_over=False, answers=())
        assert core.responses.next_deadline() is None
        assert core.responses.started("r1", 1.2) is None
        assert core.sent() == [("response.cancel", "r1")]
        assert core.ends("r1", 1.3, "cancelled").muted
        core.responses.started("r2", 1.4)
        assert core.sent() == []

    def test_but_not_what_begins_after_the_callers_turn(self, core: Core) -> None:
        core.asks(1.0)
        core.responses.interrupted(1.1, turn_over=False, answers=())
        core.turn("u", 1.2)
        core.responses.started("r", 1.3)
        assert core.sent() == []

    def test_nor_what_is_asked_for_once_it_is_not_waited_for_any_longer(self, core: Core) -> None:
        core.asks(1.0)
        core.responses.interrupted(1.1, turn_over=False, answers=())
        core.asks(1.0 + CREATED_WAIT_S)
        core.responses.started("r", 9.0)
        assert core.sent() == []

    def test_its_refusal_is_no_failure(self, core: Core) -> None:
        event_id = core.asks(1.0)
        core.responses.interrupted(1.1, turn_over=False, answers=())
        assert core.responses.asked_in(event_id)
        assert not core.responses.refused(UNPAID)
        assert not core.asked_again(9.0)
        core.responses.started("servers", 9.1)
        assert core.sent() == []


class TestCalls:
    """Functions that a response calls."""

    def test_are_run_when_it_is_completed(self, core: Core) -> None:
        core.responses.started("r", 1.0)
        core.responses.called("r", CALL)
        assert core.ends("r", 2.0) == Outcome(calls=(CALL,))
        assert core.ends("r", 2.1).calls == ()  # it was told already

    @pytest.mark.parametrize(
        ("status", "cut", "why"),
        [
            ("completed", True, "the caller interrupted"),
            ("cancelled", False, "the caller interrupted"),
            ("failed", False, "broke off"),
            ("incomplete", False, "broke off"),
            ("incomplete", True, "the caller interrupted"),
        ],
    )
    def test_have_an_output_that_says_why_they_were_not_run(
        self, core: Core, monkeypatch: pytest.MonkeyPatch, status: str, cut: bool, why: str
    ) -> None:
        outputs: list[tuple[str, str]] = []
        monkeypatch.setattr(core.items, "answer_call", lambda *told: outputs.append(told))
        core.says("r", 1.0)
        core.responses.called("r", CALL)
        if cut:
            core.responses.interrupted(1.5, turn_over=False, answers=())
        assert core.ends("r", 2.0, status).calls == ()
        [(call_id, output)] = outputs
        assert call_id == "c1"
        assert why in json.loads(output)["error"]

    def test_those_of_one_response_are_bounded(self, core: Core) -> None:
        for _ in range(MOST_CALLS):
            core.responses.called("r", CALL)
        with pytest.raises(MalformedError):
            core.responses.called("r", CALL)


class TestSilence:
    """A response that fails, or sends nothing, is silence to the caller."""

    def test_what_had_nothing_in_it_is_asked_for_again_then_the_model_is_given_up(self, core: Core) -> None:
        core.asks(1.0, {"instructions": "Say hello"})
        core.responses.started("r1", 1.1)
        assert core.ends("r1", 1.2) == Outcome(nothing=True)
        core.responses.ask(1.2)
        assert core.sent() == [("response.create", {"instructions": "Say hello"})]
        core.responses.started("r2", 1.3)
        assert core.ends("r2", 1.4) == Outcome(nothing=True, given_up=True)
        assert core.responses.pending  # to whoever takes the session's place

    def test_what_was_heard_is_not_forgotten_for_something_late_of_another(self, core: Core) -> None:
        core.says("r0", 0.5)
        core.ends("r0", 0.9)
        core.says("r1", 1.0)
        core.responses.brings("r0", 1.1)
        assert core.ends("r1", 2.0) == Outcome()
        assert not core.asked_again(2.0)

    def test_one_that_nobody_knows_of_is_no_silence(self, core: Core) -> None:
        core.says("runs", 1.0)
        assert core.ends("unknown", 2.0) == Outcome()
        assert core.responses.active == "runs"
        assert core.responses.next_deadline() == 1.0 + STALL_S

    def test_one_that_brought_something_begins_the_count_anew(self, core: Core) -> None:
        for second in (1.0, 2.0, 3.0):
            core.responses.started(f"failed{second}", second)
            assert not core.ends(f"failed{second}", second + 0.1, "failed", "server_error").given_up
            assert core.asked_again(second + 0.2)
            core.says(f"heard{second}", second + 0.3)
            core.ends(f"heard{second}", second + 0.4)

    def test_a_refusal_and_a_failure_are_two(self, core: Core) -> None:
        core.asks(1.0)
        assert not core.responses.refused("server_error")
        assert core.asked_again(1.1)
        core.responses.started("r", 1.2)
        assert core.ends("r", 1.3, "failed", "server_error").given_up

    def test_unpaid_is_not_asked_for_again(self, core: Core) -> None:
        core.responses.started("r", 1.0)
        assert core.ends("r", 1.1, "failed", UNPAID).given_up

    def test_nor_for_a_function_without_an_output(self) -> None:
        core = Core(dialect=SPEECH_TO_SPEECH)
        core.says("r", 1.0)
        core.items.called((CALL,))
        assert core.ends("r", 1.1, "failed", UNPAID).given_up

    def test_one_that_the_caller_interrupted_may_fail_and_be_empty(self, core: Core) -> None:
        for number, status in enumerate(("failed", "completed", "failed", "incomplete", "failed")):
            core.responses.started(f"r{number}", number)
            core.responses.interrupted(number + 0.1, turn_over=False, answers=())
            assert core.ends(f"r{number}", number + 0.2, status, UNPAID) == Outcome(muted=True)
        assert not core.asked_again(9.0)

    def test_those_that_break_off_before_they_bring_anything(self, core: Core) -> None:
        for number in range(MOST_INCOMPLETE):
            core.responses.started(f"r{number}", number)
            assert core.ends(f"r{number}", number + 0.1, "incomplete") == Outcome()
            assert not core.asked_again(number + 0.2)
        core.responses.started("r9", 9.0)
        assert core.ends("r9", 9.1, "incomplete") == Outcome(given_up=True)
        assert core.responses.pending

    def test_a_server_that_waits_for_a_functions_output_is_given_one_and_has_not_failed(self) -> None:
        core = Core(dialect=SPEECH_TO_SPEECH)
        for number in range(3):
            core.says("r", number)
            core.responses.called("r", ToolCall(f"c{number}", "look", "{}"))
            core.ends("r", number + 0.1)
            core.responses.not_made(OPEN_CALL)
            assert core.sent() == [("conversation.item.create", f"c{number}")]
            assert core.asked_again(number + 0.2)
            core.says("r", number + 0.3)
            core.ends("r", number + 0.4)

    def test_and_one_that_fails_without_an_open_call_has(self) -> None:
        core = Core(dialect=SPEECH_TO_SPEECH)
        core.responses.not_made(OPEN_CALL)
        assert not core.asked_again(1.0)


class TestTime:
    def test_what_is_wanted_while_the_caller_speaks_waits_for_their_turn_and_not_for_ever(self, core: Core) -> None:
        core.responses.caller_began(1.0)
        core.responses.want({})
        assert not core.asked_again(1.0 + LONGEST_TURN_S - 0.01)
        assert core.responses.next_deadline() == 1.0 + LONGEST_TURN_S
        assert core.asked_again(1.0 + LONGEST_TURN_S)

    def test_behind_the_turn_the_servers_own_response_is_waited_for(self, core: Core) -> None:
        core.responses.caller_began(1.0)
        core.responses.want({})
        core.responses.caller_ceased(2.0)
        assert core.responses.next_deadline() == 2.0 + SERVER_RESPONSE_WAIT_S
        assert not core.asked_again(2.0 + SERVER_RESPONSE_WAIT_S - 0.01)
        assert core.asked_again(2.0 + SERVER_RESPONSE_WAIT_S)

    def test_an_answer_that_does_not_come_is_asked_for_then_the_server_is_given_up(self, core: Core) -> None:
        core.turn("u", 1.0)
        assert core.responses.next_deadline() == 1.0 + STALL_S / 2
        assert not core.responses.tick(1.0 + STALL_S / 2, tool_runs=False)
        assert core.asked_again(1.0 + STALL_S / 2)
        assert not core.responses.tick(1.0 + STALL_S - 0.01, tool_runs=False)
        assert core.responses.tick(1.0 + STALL_S, tool_runs=False)

    def test_what_was_asked_for_and_does_not_come(self, core: Core) -> None:
        core.asks(1.0)
        assert core.responses.next_deadline() == 1.0 + STALL_S
        assert core.responses.tick(1.0 + STALL_S, tool_runs=False)

    def test_an_answer_is_asked_for_once_while_another_response_runs(self, core: Core) -> None:
        core.says("r", 0.5)
        core.turn("u", 1.0)
        core.responses.tick(1.0 + STALL_S / 2, tool_runs=False)
        assert core.responses.next_deadline() == 1.0 + STALL_S

    def test_a_caller_who_speaks_on_takes_back_what_their_turn_was_owed(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.responses.caller_began(1.5)
        assert core.responses.next_deadline() is None

    def test_a_turn_whose_end_the_server_missed_is_owed_an_answer(self, core: Core) -> None:
        core.responses.caller_began(1.0)
        core.responses.caller_silent(4.0)
        core.responses.tick(4.0 + STALL_S / 2, tool_runs=False)
        assert core.asked_again(4.0 + STALL_S / 2)

    def test_while_a_tool_of_the_providers_runs_the_server_need_not_say_anything(self, core: Core) -> None:
        core.responses.started("r", 1.0)
        assert not core.responses.tick(1.0 + STALL_S, tool_runs=True)
        assert core.responses.next_deadline() == 1.0 + 2 * STALL_S

    def test_each_sign_of_a_response_begins_the_wait_anew(self, core: Core) -> None:
        core.responses.started("r", 1.0)
        core.responses.progress(3.0)
        assert core.responses.next_deadline() == 3.0 + STALL_S
        core.responses.brings("r", 3.5)
        assert core.responses.next_deadline() == 3.5 + STALL_S
        core.ends("r", 4.0, "cancelled")
        assert core.responses.next_deadline() is None

    def test_when_it_will_be_quiet(self, core: Core) -> None:
        assert core.responses.quiet_from() == 0.0
        core.responses.caller_began(1.0)
        assert core.responses.quiet_from() == 1.0 + LONGEST_TURN_S
        core.responses.caller_ceased(2.0)
        assert core.responses.quiet_from() == 2.0 + SERVER_RESPONSE_WAIT_S
        core.responses.turn_committed("u", 2.0)
        assert core.responses.quiet_from() is None
        core.says("r", 2.1)
        assert core.responses.quiet_from() is None
        core.ends("r", 3.0)
        assert core.responses.quiet_from() == 0.0

    def test_what_is_about_to_begin(self, core: Core) -> None:
        assert not core.responses.begins
        core.asks(1.0)
        assert core.responses.begins
        core.says("r", 1.1)
        assert not core.responses.begins
        core.turn("u", 2.0)
        assert core.responses.begins


class TestBounds:
    """A server can name any number of responses and items."""

    def test_the_one_that_runs_is_not_forgotten_for_others(self, core: Core) -> None:
        core.responses.started("runs", 1.0)
        core.responses.interrupted(1.1, turn_over=False, answers=())
        for number in range(3 * KEPT):
            core.responses.item_added(f"r{number}", "i")
        assert core.responses.muted("runs")
        assert len(core.responses._known) == KEPT

    def test_those_that_are_long_over_are(self, core: Core) -> None:
        for number in range(3 * KEPT):
            core.responses.started(f"r{number}", number)
            core.responses.interrupted(number + 0.1, turn_over=False, answers=())
            core.ends(f"r{number}", number + 0.2, "cancelled")
        assert [number for number in range(3 * KEPT) if core.responses.muted(f"r{number}")] == list(
            range(2 * KEPT, 3 * KEPT)
        )

    def test_turns(self, core: Core) -> None:
        for number in range(3 * TURNS_KEPT):
            core.turn(f"u{number}", number)
        assert len(core.responses._turns) == TURNS_KEPT

    def test_items_of_one_response_each_known_once(self, core: Core) -> None:
        core.turn("u", 1.0)
        core.says("r", 1.1)
        for number in range(3 * MOST_ITEMS):
            core.responses.item_added("r", f"i{number // 2}")
        core.ends("r", 1.2)
        core.responses.dismiss("u", 1.3)
        forgotten = [item_id for _, item_id in core.sent()]
        assert forgotten == ["u", *(f"i{number}" for number in range(MOST_ITEMS))]
