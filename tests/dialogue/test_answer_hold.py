"""One hold for both reasons: a sound that is judged, a turn that may continue. Times are literal seconds."""

import pytest

from ariagent.audio.format import SLIN8
from ariagent.audio.uplink import Uplink
from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.dialogue.answer_hold import KEY_ROOM_S, AnswerHold
from ariagent.dialogue.effects import JudgeTurn, StopJudging
from ariagent.dialogue.events import AnswerDiscarded, AnswerReleased, CallerEnded
from ariagent.dialogue.turn_end import TurnEnd
from ariagent.dialogue.turns import TurnClock
from ariagent.realtime import events as rt
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession

AUDIO = rt.AudioArrived("a", bytes(480), "r1")
USAGE = rt.Usage(output_audio=40)
ENDED = rt.ResponseEnded("r1", "completed", "", "", USAGE)


class Desk:
    """A hold, and the session that it discards answers in."""

    def __init__(self, *, early: bool = True) -> None:
        uplink = Uplink(SLIN8)
        for n in range(100):
            uplink.received(bytes(320), 9.0 + 0.02 * n)
        self.hold = AnswerHold(uplink, TurnClock(), TurnEnd(uplink, 0.8, 0.7) if early else None)
        self.session = RealtimeSession(SessionProfile.of(AgentSettings(), RealtimeSettings()))

    def holds(self) -> None:
        """An answer to the sound or turn is held."""
        self.hold.held.begin("r1")
        assert self.hold.held.takes(AUDIO, 11.1)
        assert self.hold.held.takes(ENDED, 11.2)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_where_the_server_ends_turns_the_answer_to_a_sound_is_released_with_its_turn() -> None:
    desk = Desk(early=False)
    desk.holds()
    desk.hold.turn_began(0.0)
    assert desk.hold.fell_silent("u1", 10.8, 11.0, 11.3) == [CallerEnded()]
    assert desk.hold.take_released() == ((AUDIO, 11.1), (ENDED, 11.2))
    assert desk.hold.take_released() == ()
    assert (desk.hold.early, desk.hold.paused, desk.hold.next_deadline()) == (False, False, None)


def test_the_answer_to_a_sound_that_was_speech_is_then_held_for_the_end_of_the_turn(desk: Desk) -> None:
    desk.holds()
    desk.hold.turn_began(0.0)
    assert desk.hold.fell_silent("u1", 10.8, 11.0, 11.3) == [JudgeTurn(1, 2000, pytest.approx(0.3))]
    assert desk.hold.paused
    assert desk.hold.take_released() == ()
    assert desk.hold.judged(1, 0.9, 11.4) == [AnswerReleased(), CallerEnded()]
    assert desk.hold.take_released() == ((AUDIO, 11.1), (ENDED, 11.2))


def test_unless_the_hold_time_is_over_by_then(desk: Desk) -> None:
    desk.holds()
    desk.hold.turn_began(0.0)
    assert desk.hold.fell_silent("u1", 10.8, 11.0, 11.7) == [StopJudging(), AnswerReleased(), CallerEnded()]
    assert len(desk.hold.take_released()) == 2


def test_a_turn_that_is_taken_for_complete_is_over_when_something_can_be_heard(desk: Desk) -> None:
    desk.hold.turn_began(0.0)
    desk.hold.fell_silent("u1", 10.8, 11.0, 11.0)
    assert desk.hold.answer_came(11.0) == [], "nothing is held"
    assert desk.hold.judged(1, 0.9, 11.1) == []
    desk.holds()
    assert desk.hold.answer_came(11.2) == [StopJudging(), AnswerReleased(), CallerEnded()]


def test_a_caller_who_continues_hears_nothing_of_it(desk: Desk) -> None:
    desk.hold.turn_began(0.0)
    desk.hold.fell_silent("u1", 10.8, 11.0, 11.0)
    desk.holds()
    assert desk.hold.continues(1500.0, desk.session, 11.3) == [StopJudging(), AnswerDiscarded("r1", USAGE)]
    assert (desk.hold.paused, desk.hold.held.response_ids, desk.hold.take_released()) == (False, (), ())
    assert desk.session.responses.discarded("r1")
    assert desk.hold.tick(20.0) == []


def test_a_sound_that_continues_has_no_answer_yet(desk: Desk) -> None:
    desk.holds()
    assert desk.hold.sound_continues("u1", desk.session, 11.3) == [StopJudging(), AnswerDiscarded("r1", USAGE)]
    assert not desk.hold.paused


def test_a_turn_whose_end_nobody_waits_for(desk: Desk) -> None:
    assert desk.hold.drop(desk.session, 11.0) == []
    desk.hold.turn_began(0.0)
    desk.hold.fell_silent("u1", 10.8, 11.0, 11.0)
    desk.holds()
    assert desk.hold.drop(desk.session, 11.3) == [StopJudging(), AnswerDiscarded("r1", USAGE), CallerEnded()]


def test_keys_are_waited_for(desk: Desk) -> None:
    desk.hold.turn_began(0.0)
    desk.hold.fell_silent("u1", 10.8, 11.0, 11.0)
    desk.holds()
    desk.hold.answer_came(11.2)
    desk.hold.key_pressed(11.3, 0.8)
    assert desk.hold.tick(11.61) == []
    assert desk.hold.next_deadline() == 11.3 + 0.8 + KEY_ROOM_S
    assert CallerEnded() in desk.hold.tick(12.3)
