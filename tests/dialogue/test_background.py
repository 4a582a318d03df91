"""Hold music, televisions, and callers who come back from them, in memory."""

import pytest

from ariagent.config import AgentSettings
from ariagent.config.agents import SilenceSettings
from ariagent.dialogue import events as said
from ariagent.dialogue.background import MOST_SENSELESS, SENSELESS_S, Background
from ariagent.dialogue.effects import EndRequested
from ariagent.dialogue.notes import NOTE_BACKGROUND
from tests.scriptedcall import ScriptedCall, creates, texts

HOLD_S = 60.0
FILM = "You will never get away with this."


def agent() -> AgentSettings:
    return AgentSettings(opening=None, silence=SilenceSettings(hold_on_s=HOLD_S))


class Film:
    """A television in front of the telephone: speech, with pauses in which the agent begins to answer."""

    def __init__(self, call: ScriptedCall, words: str = FILM) -> None:
        self.call = call
        self.words = words
        self.turns = 0
        self.asked = 0
        """Responses that the server made and that were not cancelled at once."""
        self.notes: list[str] = []

    def goes_on(self, seconds: float) -> None:
        until = self.call.now + seconds
        while self.call.now < until and not self.call.saw(EndRequested):
            self.turns += 1
            call, number = self.call, self.turns
            response = f"film{number}"
            call.caller(100, loud=True)
            call.hears_speech(f"f{number}")
            for _ in range(5):
                call.caller(300, loud=True)
                call.caller(200, loud=False)
            call.caller(300, loud=False)
            call.hears_silence()
            call.transcribes(self.words)
            self.look()
            call.starts(response)
            sent = call.sent()
            self.notes += texts(sent)
            if "response.cancel" in [m["type"] for m in sent]:
                call.ends(response, "cancelled")
            else:
                self.asked += 1
                call.speaks(5000, f"a{number}", response)
                call.ends(response)
                self.look()

    def look(self) -> None:
        """Let the model answer what it is asked for."""
        sent = self.call.sent()
        self.notes += texts(sent)
        for event_id in creates(sent):
            self.call.reply(1000, f"own{event_id}", f"item{event_id}")


def test_a_film_is_not_answered_for_long_and_ends_the_call() -> None:
    call = ScriptedCall(agent())
    film = Film(call)
    film.goes_on(300.0)
    assert call.saw(EndRequested) == [EndRequested("caller_silent")]
    assert SENSELESS_S + HOLD_S < call.now < SENSELESS_S + HOLD_S + 60
    assert NOTE_BACKGROUND in film.notes
    assert film.asked < 20
    dismissed = [event.what for event in call.saw(said.SoundDismissed)]
    assert dismissed.count("background") > 10


def test_somebody_who_speaks_after_a_pause_is_answered_and_brings_the_agent_back() -> None:
    call = ScriptedCall(agent())
    film = Film(call)
    film.goes_on(70.0)
    asked = film.asked
    film.goes_on(10.0)
    assert film.asked == asked
    call.wait(3.0)
    call.turn("I am back.", item_id="back")
    call.sent()
    call.reply(1000, "r_back", "a_back")
    call.wait(2.0)
    assert call.saw(said.AgentEnded)
    call.caller(200, loud=False)
    call.turn("How much is it?", item_id="next")
    call.starts("r_next")
    assert "response.cancel" not in [m["type"] for m in call.sent()]


def test_a_key_brings_it_back_too() -> None:
    call = ScriptedCall(agent())
    film = Film(call)
    film.goes_on(70.0)
    call.dialogue.press("1", call.now)
    call.settle()
    call.sent()
    call.turn("Hello?", item_id="next")
    call.starts("r_next")
    assert "response.cancel" not in [m["type"] for m in call.sent()]


def test_music_without_words_that_lets_the_agent_finish() -> None:
    background = Background()
    now = 0.0
    for number in range(20):
        background.caller_speaks(now)
        background.caller_said("♪")
        background.agent_speaks(now + 3)
        background.agent_fell_silent(now + 6, cut=False)
        assert background.noticed is (number >= MOST_SENSELESS and now >= SENSELESS_S)
        now += 9.0


@pytest.mark.parametrize("words", ["", "..."])
def test_a_person_whose_words_are_known_again_is_no_music(words: str) -> None:
    background = Background()
    for number in range(40):
        background.caller_speaks(10.0 * number)
        background.caller_said(words if number % 3 else "Yes, of course")
        background.agent_speaks(10.0 * number + 3)
        background.agent_fell_silent(10.0 * number + 6, cut=False)
        assert not background.noticed


def test_turns_that_the_model_takes_for_somebody_elses() -> None:
    background = Background()
    now = 0.0
    for number in range(20):
        background.caller_speaks(now)
        background.caller_said(FILM)
        background.agent_speaks(now + 3)
        background.not_meant()
        background.agent_fell_silent(now + 4, cut=False)
        assert background.noticed is (number >= MOST_SENSELESS and now >= SENSELESS_S)
        now += 9.0


def test_somebody_who_dictates_a_number_with_pauses() -> None:
    background = Background()
    for number in range(20):
        background.caller_speaks(2.0 * number)
        background.caller_said(str(number))
        background.agent_speaks(2.0 * number + 1.5)
        background.agent_fell_silent(2.0 * number + 2, cut=True)
        assert not background.noticed


def test_somebody_who_interrupts_after_listening_for_a_while() -> None:
    background = Background()
    for number in range(40):
        background.agent_speaks(10.0 * number)
        background.agent_fell_silent(10.0 * number + 4, cut=True)
        background.caller_speaks(10.0 * number + 4)
        background.caller_said("Yes but")
        assert not background.noticed


def test_a_transcription_that_fails_says_nothing() -> None:
    call = ScriptedCall(agent())
    for number in range(10):
        call.wait(4.0)
        call.caller(100, loud=True)
        call.hears_speech(f"u{number}")
        call.caller(1500, loud=True)
        call.hears_silence()
        call.transcribes(None)
        call.reply(1500, f"r{number}", f"a{number}")
        call.wait(2.0)
    assert not [event for event in call.saw(said.SoundDismissed) if event.what == "background"]
