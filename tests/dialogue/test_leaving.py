"""Callers who speak, or press keys, while the agent says goodbye or is about to transfer them; in memory."""

from typing import Any

import pytest

from ariagent.call import commands as cmd
from ariagent.call import events as ev
from ariagent.call.machine import GOODBYE_TIMEOUT_S, LONGEST_GOODBYE_S, State
from ariagent.config import AgentSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue import events as said
from ariagent.dialogue.effects import CallerSpoke
from ariagent.dialogue.leaving import LONGEST_POLITE_S, WORDS_WAIT_S, Decision, Leaving
from tests.scriptedcall import ScriptedCall, creates, kinds, texts

PLACES = {"desk": DestinationSettings(description="human agents", queue="support", kind="blind")}
TRANSFER = {"destination": "desk", "reason": "wants a person", "summary": "They ask for a person."}


def announced(tool: str, *, ms: float = 6000, **agent: Any) -> ScriptedCall:
    """The agent has announced a transfer or the end, and is being heard; the caller spoke before."""
    call = ScriptedCall(AgentSettings(handoff=("desk",), **agent), places=PLACES)
    call.wait(1.0)
    call.turn("I would like to speak to a person.", ms=2000)
    call.reply(ms, call=tool, **(TRANSFER if tool == "transfer_call" else {}))
    call.wait(1.0)
    call.sent()
    return call


def over(call: ScriptedCall) -> State:
    """The state when everything has been heard; a caller who stays is answered."""
    call.wait(8.0)
    return call.machine.state


AFTER = {"transfer_call": State.TRANSFERRING, "end_call": State.ENDING}


@pytest.mark.parametrize("tool", AFTER)
class TestSpeech:
    @pytest.mark.parametrize("ms", [400, 1500])
    @pytest.mark.parametrize("words", ["Thank you.", "Okay, thank you very much.", "Yes please.", "Great, bye!"])
    def test_politeness_calls_nothing_off(self, tool: str, words: str, ms: float) -> None:
        call = announced(tool)
        call.turn(words, ms=ms, item_id="u2")
        assert over(call) is AFTER[tool]
        assert not call.saw(CallerSpoke)[1:]  # the first was the caller's question
        assert not call.saw(cmd.TellNotDone)

    def test_short_politeness_does_not_even_cut_the_sentence(self, tool: str) -> None:
        call = announced(tool)
        call.turn("Thank you.", ms=400, item_id="u2")
        over(call)
        assert not call.saw(said.Interrupted)
        assert call.played_ms == 6000

    def test_nor_do_its_last_words(self, tool: str) -> None:
        call = announced(tool, ms=2500)
        call.wait(0.5)
        call.turn("Okay.", ms=300, item_id="u2")
        assert over(call) is AFTER[tool]

    @pytest.mark.parametrize("ms", [500, 1500])
    @pytest.mark.parametrize(
        "words", ["No, wait.", "One more question.", "Okay, but what does it cost?", "Thanks, no."]
    )
    def test_anything_else_does_and_the_model_is_told(self, tool: str, words: str, ms: float) -> None:
        call = announced(tool)
        call.turn(words, ms=ms, item_id="u2")
        assert call.machine.state is State.TALKING
        [note] = texts(call.sent())
        assert "they are still with you" in note
        assert ("was not transferred (desk)" in note, "was not ended" in note) == (
            tool == "transfer_call",
            tool == "end_call",
        )
        assert tool in note
        call.reply(500, "r2", "a2")
        assert over(call) is State.TALKING

    def test_it_can_be_done_afterwards(self, tool: str) -> None:
        call = announced(tool)
        call.turn("No, wait, one more question.", ms=1500, item_id="u2")
        call.reply(1000, "r2", "a2", call=tool, **(TRANSFER if tool == "transfer_call" else {}))
        assert over(call) is AFTER[tool]

    def test_nothing_is_done_while_they_speak(self, tool: str) -> None:
        call = announced(tool, ms=1500)
        call.caller(100, loud=True)
        call.hears_speech("u2")
        call.caller(3000, loud=True)
        assert call.machine.finishing

    def test_a_long_speech_is_no_thanks(self, tool: str) -> None:
        call = announced(tool)
        call.caller(100, loud=True)
        call.hears_speech("u2")
        call.caller(1000 * LONGEST_POLITE_S + 1000, loud=True)
        assert call.machine.state is State.TALKING

    def test_words_that_do_not_come_call_it_off(self, tool: str) -> None:
        call = announced(tool)
        call.caller(100, loud=True)
        call.hears_speech("u2")
        call.caller(1000, loud=True)
        call.caller(500, loud=False)
        call.hears_silence()
        call.wait(WORDS_WAIT_S - 0.2)
        assert call.machine.finishing
        call.wait(0.4)
        assert call.machine.state is State.TALKING

    def test_nor_words_that_nobody_could_write_down(self, tool: str) -> None:
        call = announced(tool)
        call.caller(100, loud=True)
        call.hears_speech("u2")
        call.caller(1000, loud=True)
        call.hears_silence()
        call.transcribes(None)
        assert call.machine.state is State.TALKING

    def test_without_transcription_every_speech_does_at_once(self, tool: str) -> None:
        call = announced(tool, transcription=None)
        call.caller(100, loud=True)
        call.hears_speech("u2")
        call.caller(900, loud=True)
        assert call.machine.state is State.TALKING
        assert len(call.saw(cmd.TellNotDone)) == 1

    def test_the_answer_to_thanks_is_not_wanted(self, tool: str) -> None:
        call = announced(tool)
        call.turn("Thank you very much.", ms=1500, item_id="u2")
        call.starts("r2")
        assert "response.cancel" in kinds(call.sent())


class TestKeys:
    def test_a_key_does_not_call_a_transfer_off(self) -> None:
        call = announced("transfer_call")
        call.feed(ev.DigitPressed("1"))
        call.settle()
        assert over(call) is State.TRANSFERRING

    def test_one_over_a_goodbye_keeps_the_call_and_the_model_is_told(self) -> None:
        call = announced("end_call")
        call.feed(CallerSpoke())  # as the driver does for a key
        call.feed(ev.DigitPressed("1"))
        call.settle()
        assert call.machine.state is State.TALKING
        assert "was not ended" in texts(call.sent())[0]

    def test_afterwards_thanks_are_answered_again(self) -> None:
        call = announced("end_call")
        call.feed(CallerSpoke())
        call.settle()
        call.ends("r1")
        call.wait(7.0)
        call.sent()
        call.turn("Thank you.", item_id="u3")
        assert "conversation.item.delete" not in kinds(call.sent())


def test_a_transfer_that_failed_leaves_nothing_announced() -> None:
    call = announced("transfer_call", ms=1500)
    call.wait(2.0)
    assert call.machine.state is State.TRANSFERRING
    call.feed(ev.TransferFailed("no"))
    call.dialogue.transfer_failed("desk", call.now)
    call.reply(500, "r2", "a2")
    call.wait(1.0)
    call.sent()
    call.turn("Thank you.", item_id="u3")
    assert "conversation.item.delete" not in kinds(call.sent())
    assert creates(call.sent()) == []


class TestLongSentences:
    @pytest.mark.parametrize("tool", AFTER)
    def test_is_heard_to_its_end(self, tool: str) -> None:
        call = announced(tool, ms=40_000)
        call.wait(38.0)
        assert call.machine.finishing
        call.wait(2.0)
        assert call.machine.state is AFTER[tool]
        assert call.played_ms == 40_000

    def test_one_that_never_ends_is_cut(self) -> None:
        call = announced("end_call", ms=2000)
        until = call.now + LONGEST_GOODBYE_S + 10
        number = 0
        while call.machine.finishing and call.now < until:
            number += 1
            call.starts(f"x{number}")
            call.speaks(10_000, f"b{number}", f"x{number}")
            call.ends(f"x{number}")
            call.wait(9.0)
        assert call.machine.state is State.ENDING
        assert LONGEST_GOODBYE_S - 15 < call.now < until

    def test_a_model_that_says_no_more_is_not_waited_for_longer(self) -> None:
        call = ScriptedCall()
        call.starts()
        call.speaks(1000)
        call.feed(ev.EndRequested("agent_ended"))
        call.starts("r2")
        call.wait(GOODBYE_TIMEOUT_S + 0.1)
        assert call.machine.state is State.ENDING


@pytest.mark.parametrize("turns", ["server", "fast"])
@pytest.mark.parametrize("tool", AFTER)
def test_thanks_of_an_earlier_turn_do_not_count_for_a_caller_who_speaks_now(tool: str, turns: str) -> None:
    call = ScriptedCall(AgentSettings(handoff=("desk",), turns=turns), places=PLACES)
    call.wait(1.0)
    call.caller(100, loud=True)
    call.hears_speech("u1")
    call.caller(900, loud=True)
    call.caller(500, loud=False)
    call.hears_silence()  # the words come late
    call.wait(2.0)
    call.reply(6000, call=tool, **(TRANSFER if tool == "transfer_call" else {}))
    call.wait(1.0)
    call.caller(100, loud=True)
    call.hears_speech("u2")
    call.caller(1000, loud=True)
    assert call.saw(said.Interrupted)
    call.transcribes("Thanks, that is all.", "u1")
    assert call.machine.finishing
    call.caller(500, loud=True)
    call.caller(500, loud=False)
    call.hears_silence()
    call.wait(1.0)
    assert call.machine.finishing
    call.transcribes("Wait, one more question.", "u2")
    call.wait(2.0)  # with fast turns the words are told when the turn is over
    assert call.machine.state is State.TALKING


class TestWords:
    """When the words of which turns decide."""

    def leaving(self, *turns: str) -> Leaving:
        """The caller speaks over an announcement, in these turns; only the last one is not over."""
        leaving = Leaving("en", None, transcribes=True)
        leaving.announce()
        for item_id in turns:
            leaving.caller_fell_silent(1.0)
            leaving.turn_began(item_id)
            assert leaving.caller_speaks(1.0) is Decision.OPEN
        return leaving

    def test_of_an_earlier_turn_are_only_a_reason_to_stay(self) -> None:
        leaving = self.leaving("u2")
        assert leaving.caller_said("u1", "Thanks.") is Decision.OPEN
        assert leaving.caller_said("u1", None) is Decision.OPEN
        assert leaving.undecided
        assert leaving.caller_said("u1", "Wait") is Decision.STAYS
        assert not leaving.undecided

    @pytest.mark.parametrize("order", [("u2", "u3"), ("u3", "u2")])
    def test_of_all_turns_over_it_must_be_polite(self, order: tuple[str, str]) -> None:
        leaving = self.leaving("u2", "u3")
        assert leaving.caller_said(order[0], "Thanks.") is Decision.OPEN
        assert leaving.caller_said(order[1], "Thanks.") is Decision.LEAVES
        leaving = self.leaving("u2", "u3")
        assert leaving.caller_said(order[0], "Thanks.") is Decision.OPEN
        assert leaving.caller_said(order[1], "Wait") is Decision.STAYS

    def test_of_a_turn_in_parts_come_with_the_last_one(self) -> None:
        leaving = self.leaving("u2")
        leaving.turn_began("u2b")
        leaving.caller_fell_silent(2.0)
        assert leaving.caller_said("u2b", "Thanks. Bye.") is Decision.LEAVES

    def test_of_a_noise_after_the_turn_do_not_count(self) -> None:
        leaving = self.leaving("u2")
        leaving.caller_fell_silent(2.0)
        leaving.turn_began("u3")
        assert leaving.caller_said("u3", "Thanks.") is Decision.OPEN
        assert leaving.caller_said("u2", "Thanks.") is Decision.LEAVES


def test_a_decision_is_made_once() -> None:
    leaving = Leaving("en", None, transcribes=True)
    leaving.announce()
    leaving.turn_began("u2")
    assert leaving.caller_speaks(1.0) is Decision.OPEN
    assert leaving.undecided
    assert leaving.caller_said("u2", "Thanks.") is Decision.LEAVES
    assert not leaving.undecided
    assert leaving.next_deadline() is None
    assert leaving.tick(100.0) is Decision.OPEN
    leaving.turn_began("u3")
    assert leaving.caller_said("u3", "Wait") is Decision.OPEN  # before it is known to be speech
    assert leaving.caller_speaks(2.0) is Decision.STAYS
    assert not leaving.announced
