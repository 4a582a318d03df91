"""The call policy: what an agent does without asking the model first: keys, silence, the longest call, machines that
call. CORE.

Joins the keypad, the watch over silence and the detector of machines: what happens goes in, actions come out. Times are
monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ariagent.audio.format import AudioFormat
from ariagent.audio.tones import MachineEar
from ariagent.config import AgentSettings
from ariagent.dialogue import events, keypad, notes, silence
from ariagent.dialogue.background import Background
from ariagent.dialogue.effects import EndRequested, NobodyThere

MACHINES_FIRST_S = 60.0
"""Seconds for which the line is checked for machines: a voice that talks with the agent afterwards is a person's."""


@dataclass(frozen=True, slots=True)
class TellModel:
    """The model is to act on this note."""

    note: str


@dataclass(frozen=True, slots=True)
class GiveDigits:
    """The model is to know which keys the caller pressed."""

    digits: str


@dataclass(frozen=True, slots=True)
class DigitsCollected:
    """``collect_digits`` has its result, JSON text."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class HumanWanted:
    """The caller pressed the key for a human agent."""


Action = TellModel | GiveDigits | DigitsCollected | HumanWanted | EndRequested | NobodyThere


class CallPolicy:
    """The rules of one call, from its answer on."""

    def __init__(
        self, agent: AgentSettings, language: str, fmt: AudioFormat, now: float, background: Background
    ) -> None:
        """``background`` is told what happens."""
        self._language = language
        self._keypad = keypad.Keypad(agent.keypad)
        self._silence = silence.Silence(agent.silence, agent.length, now)
        self._background = background
        background.begin(now)
        self._ear = MachineEar(fmt) if agent.machines == "end" else None
        self._ear_until = now + MACHINES_FIRST_S
        self._collecting: tuple[str, keypad.Collect] | None = None
        """The call of ``collect_digits`` that waits for its digits."""

    def happened(self, event: events.DialogueEvent, now: float) -> None:
        """The conversation continued."""
        match event:
            case events.AgentBegan():
                self._background.agent_speaks(now)
                self._silence.agent_speaks(now)
                self._keypad.agent_speaks(now)
            case events.AgentEnded() | events.Interrupted():
                self._background.agent_fell_silent(now, cut=isinstance(event, events.Interrupted))
                self._silence.agent_fell_silent(now)
                self._keypad.agent_fell_silent(now)
            case events.CallerBegan():
                self._background.caller_speaks(now)
                self._silence.caller_speaks(now)
            case events.CallerEnded():
                self._silence.caller_fell_silent(now)
            case events.CallerSaid(text=str(text)):
                self._background.caller_said(text)
                self._silence.caller_said(text, self._language)
        self._silence.background(self._background.noticed, now)

    def hears(self, pcm: bytes, now: float) -> list[Action]:
        """Audio of the caller's side, of any length."""
        if self._ear is None:
            return []
        if now > self._ear_until:
            self._ear = None
            return []
        machine = self._ear.hear(pcm)
        return [] if machine is None else [NobodyThere(machine)]

    def pressed(self, digit: str, now: float) -> list[Action]:
        """The caller pressed a key."""
        self._background.makes_sense(now)
        self._silence.background(False, now)
        self._silence.key_pressed(now)
        return self._typed(self._keypad.press(digit, now), now)

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        times = (self._keypad.next_deadline(), self._silence.next_deadline())
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> list[Action]:
        """Do what is due at this time."""
        actions = self._typed(self._keypad.tick(now), now)
        for event in self._silence.tick(now):
            actions.append(TellModel(notes.silence_note(event, background=self._background.noticed)))
            if isinstance(event, silence.Goodbye):
                actions.append(EndRequested("caller_silent"))
            elif isinstance(event, silence.EndLength):
                actions.append(EndRequested("too_long", final=True))
        return actions

    def busy(self, on: bool, now: float) -> None:
        """Tools are running, or no longer."""
        self._silence.busy(on, now)

    def hold_on(self, now: float) -> None:
        """The caller asked the agent to wait."""
        self._background.not_meant()
        self._silence.hold_on(now)

    def line_held(self, on: bool, now: float) -> None:
        """The caller's phone has put the call on hold, or has taken it back."""
        self._silence.line_held(on, now)
        if not on:
            self.cut_off(False, now)

    def cut_off(self, on: bool, now: float) -> None:
        """The phone that has put the call on hold sends nothing, or sends something again: in between, silence does not
        count."""
        self._silence.busy(on, now, "hold")

    def warm_transfer(self, on: bool, now: float) -> None:
        """A human agent is being found while the caller stays, or no longer: meanwhile silence does not count."""
        self._silence.busy(on, now, "warm_transfer")

    def collect(self, call_id: str, wanted: keypad.Collect, now: float) -> list[Action]:
        """The model wants digits; DigitsCollected follows, now or later."""
        actions = [] if self._collecting is None else self._typed([keypad.CollectFailed("replaced")], now)
        self._collecting = (call_id, wanted)
        self._silence.busy(True, now, "digits")
        return actions + self._typed([e for e in self._keypad.collect(wanted, now) if not _replaced(e)], now)

    def _typed(self, typed: Iterable[keypad.KeypadEvent], now: float) -> list[Action]:
        actions: list[Action] = []
        for event in typed:
            match event:
                case keypad.Digits(text=text):
                    actions.append(GiveDigits(text))
                case keypad.Action(name="person"):
                    actions.append(HumanWanted())
                case keypad.Action():
                    actions.append(EndRequested("caller_pressed_end", final=True))
                case keypad.AskAgain() if self._collecting is not None:
                    actions.append(TellModel(notes.ask_again_note(event, self._collecting[1])))
                case keypad.Collected() | keypad.CollectFailed() if self._collecting is not None:
                    call_id, wanted = self._collecting
                    self._collecting = None
                    self._silence.busy(False, now, "digits")
                    actions.append(DigitsCollected(call_id, notes.digits_result(event, wanted)))
        return actions


def _replaced(event: keypad.KeypadEvent) -> bool:
    return isinstance(event, keypad.CollectFailed) and event.reason == "replaced"
