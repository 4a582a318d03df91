"""The hold of the model's answers, until a sound is known to be speech and the caller's turn is known to be over. CORE.

A response is held for one of two reasons, or for one after the other: the barge-in detector judges the sound that it
answers (``Conversation`` sees to that), or with ``turns: fast`` the caller may continue (``TurnEnd`` decides that).
Times are monotonic seconds, positions milliseconds of the caller's audio.
"""

from ariagent.audio.uplink import Uplink
from ariagent.dialogue.effects import Happened, JudgeTurn, StopJudging
from ariagent.dialogue.events import AnswerDiscarded, AnswerReleased, CallerEnded
from ariagent.dialogue.held_answer import HeldAnswer
from ariagent.dialogue.turn_end import Step, TurnEnd
from ariagent.dialogue.turns import TurnClock
from ariagent.realtime import events as rt
from ariagent.realtime.session import RealtimeSession

KEY_ROOM_S = 0.1
"""Seconds from the end of a sequence of keys until the model is certainly told of it."""


class AnswerHold:
    """One call's. Without ``ends`` the server ends the caller's turns, and only sounds are waited for."""

    def __init__(self, uplink: Uplink, clock: TurnClock, ends: TurnEnd | None) -> None:
        """``clock`` is told when turns end and answers are released."""
        self.held = HeldAnswer()
        self._uplink = uplink
        self._clock = clock
        self._ends = ends
        self._released: tuple[tuple[rt.Event, float], ...] = ()
        self._part_id = ""
        """The item of the part of the turn that has ended last."""

    @property
    def early(self) -> bool:
        """The server ends turns early."""
        return self._ends is not None

    @property
    def paused(self) -> bool:
        """The server has ended the caller's turn, and its answer is held until it is known whether they continue."""
        return self._ends is not None and self._ends.paused

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        return None if self._ends is None else self._ends.next_deadline()

    def take_released(self) -> tuple[tuple[rt.Event, float], ...]:
        """Events of answers that were held, and when they came: to be handled now."""
        released, self._released = self._released, ()
        return released

    # -- the caller's turn --------------------------------------------------------------------------

    def turn_began(self, start_ms: float) -> None:
        """A turn of the caller's begins."""
        if self._ends is not None:
            self._ends.voice(start_ms)

    def fell_silent(self, item_id: str, fell_silent: float, noticed: float, now: float) -> list[Happened]:
        """The server has ``noticed`` that the caller ``fell_silent``, and ends their turn or a part of it."""
        if self.paused:
            return []  # it says so again
        self._clock.speech_ended(fell_silent, noticed)
        ends = self._ends
        if ends is None or ends.silence(fell_silent, now) is not Step.HOLD:
            return self._end_turn(now)
        self._part_id = item_id
        if over := [*self.answer_came(now), *self.tick(now)]:
            return over
        within_s = (ends.next_deadline() or now) - now
        return [JudgeTurn(ends.pause, self._uplink.appended_ms - ends.start_ms, within_s)]

    def answer_came(self, now: float) -> list[Happened]:
        """Something more of an answer is held: a turn that was taken for complete is over now."""
        over = self._ends is not None and self.held.begun and self._ends.answered(now) is Step.RELEASE
        return [StopJudging(), AnswerReleased(), *self._end_turn(now)] if over else []

    def judged(self, pause: int, probability: float, now: float) -> list[Happened]:
        """The judge has heard a pause: the probability that the caller's turn is over."""
        over = self._ends is not None and self._ends.judged(pause, probability, now) is Step.RELEASE
        return [AnswerReleased(), *self._end_turn(now)] if over else []

    def tick(self, now: float) -> list[Happened]:
        """Look whether the hold time is over."""
        over = self._ends is not None and self._ends.tick(now) is Step.RELEASE
        return [StopJudging(), AnswerReleased(), *self._end_turn(now)] if over else []

    def key_pressed(self, now: float, pause_s: float) -> None:
        """The caller pressed a key; ``pause_s``: how soon the next one of a sequence comes."""
        if self._ends is not None:
            self._ends.key_pressed(now + pause_s + KEY_ROOM_S)

    def _end_turn(self, now: float) -> list[Happened]:
        """The caller's turn is over: they may hear what is held."""
        self._clock.released(now)
        self.release()
        return [CallerEnded()]

    def release(self) -> None:
        """The caller may hear what is held."""
        self._released = tuple(self.held.end())

    # -- answers that nobody hears ------------------------------------------------------------------

    def continues(self, start_ms: float, session: RealtimeSession, now: float) -> list[Happened]:
        """The caller continues after a pause: nobody hears the answer to what they said before it."""
        self.turn_began(start_ms)
        self._clock.speech_started()
        # Whatever else is wanted of the model, the answer to the whole turn will do.
        session.interrupt((), now, answers=self.held.response_ids)
        return self._discard(session, now)

    def sound_continues(self, item_id: str, session: RealtimeSession, now: float) -> list[Happened]:
        """The sound that is being judged continues after the part with this item."""
        self._part_id = item_id
        return self._discard(session, now)

    def drop(self, session: RealtimeSession, now: float) -> list[Happened]:
        """Nobody waits for the end of the caller's turn any more, nor for the answer that is held for it."""
        if self._ends is None or self._ends.dropped() is not Step.DISCARD:
            return []
        return [*self._discard(session, now), CallerEnded()]

    def _discard(self, session: RealtimeSession, now: float) -> list[Happened]:
        response_ids, held = self.held.response_ids, self.held.end()
        session.supersede(self._part_id, response_ids, now)
        # Those that still run are counted when they are over.
        ended = (event for event, _ in held if isinstance(event, rt.ResponseEnded))
        return [StopJudging(), *(AnswerDiscarded(event.response_id, event.usage) for event in ended)]
