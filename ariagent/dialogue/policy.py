"""What an agent does without the model being asked first: keys, silence, the longest call, machines that call. CORE.

Joins the keypad, the watch over silence and the ear for machines; what happens goes in, deeds come out. Times are
monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ariagent.audio.format import AudioFormat
from ariagent.audio.tones import MachineEar
from ariagent.dialogue import conversation as convo
from ariagent.dialogue import digits, silence
from ariagent.dialogue.keypad import Action, AskAgain, Collect, Collected, CollectFailed, Digits, Keypad, KeypadEvent
from ariagent.config import AgentSettings

MACHINES_FIRST_S = 60.0
"""Machines are listened for so long; a person who talks to us then is none."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Have the model act on this note."""

    note: str


@dataclass(frozen=True, slots=True)
class GiveDigits:
    """Tell the model what was pressed."""

    digits: str


@dataclass(frozen=True, slots=True)
class ToolDone:
    """The function call has this result, JSON text."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class End:
    """End the call once what is being said has been heard."""

    reason: str
    at_once: bool = False
    """There is nobody to say goodbye to."""
    final: bool = False
    """The caller has no say in it: talking into the goodbye does not keep the call."""


@dataclass(frozen=True, slots=True)
class ToPerson:
    """The caller wants a person."""


Deed = Tell | GiveDigits | ToolDone | End | ToPerson


class Conduct:
    """One call's, from its answer on."""

    def __init__(self, agent: AgentSettings, language: str, fmt: AudioFormat, now: float) -> None:
        self._language = language
        self._keypad = Keypad(agent.keypad)
        self._silence = silence.Silence(agent.silence, agent.length, now)
        self._ear = MachineEar(fmt) if agent.machines == "end" else None
        self._ear_until = now + MACHINES_FIRST_S
        self._wanted: tuple[str, Collect] | None = None  # the function call that collects digits
        self._due = now

    def happened(self, what: convo.Happening, now: float) -> None:
        """The conversation went on."""
        match what:
            case convo.AgentBegan():
                self._silence.agent_speaks(now)
                self._keypad.agent_speaks(now)
            case convo.AgentEnded() | convo.Interrupted():
                self._silence.agent_fell_silent(now)
                self._keypad.agent_fell_silent(now)
            case convo.CallerBegan():
                self._silence.caller_speaks(now)
            case convo.CallerEnded():
                self._silence.caller_fell_silent(now)
            case convo.CallerSaid(text=str(text)):
                self._silence.caller_said(text, self._language)
            case _:
                return
        self._arm()

    def hears(self, pcm: bytes, now: float) -> Iterable[Deed]:
        """Audio of the caller's side."""
        if self._ear is None:
            return ()
        if now > self._ear_until:
            self._ear = None
            return ()
        machine = self._ear.hear(pcm)
        return () if machine is None else (End(machine, at_once=True),)

    def pressed(self, digit: str, now: float) -> list[Deed]:
        """A key of the caller's."""
        self._silence.key_pressed(now)
        return self._typed(self._keypad.press(digit, now), now)

    def tick(self, now: float) -> list[Deed]:
        """What time brings. To be called often; most calls cost a comparison."""
        if now < self._due:
            return []
        deeds = self._typed(self._keypad.tick(now), now)
        for event in self._silence.tick(now):
            deeds.append(Tell(silence.note(event)))
            if isinstance(event, silence.Goodbye):
                deeds.append(End("caller_silent"))
            elif isinstance(event, silence.EndLength):
                deeds.append(End("too_long", final=True))
        self._arm()
        return deeds

    def busy(self, on: bool, now: float) -> None:
        """Tools are running, or no longer."""
        self._silence.busy(on, now)
        self._arm()

    def hold_on(self, now: float) -> None:
        """The caller asked the agent to wait."""
        self._silence.hold(True, now)
        self._arm()

    def collect(self, call_id: str, arguments: str, now: float) -> list[Deed]:
        """The model wants digits; a ToolDone follows, now or later."""
        wanted = digits.parse_collect(arguments)
        if isinstance(wanted, str):
            return [ToolDone(call_id, digits.refusal(wanted))]
        deeds = [] if self._wanted is None else self._typed([CollectFailed("replaced")], now)
        self._wanted = (call_id, wanted)
        self._silence.busy(True, now, "digits")
        return deeds + self._typed([e for e in self._keypad.collect(wanted, now) if not _replaced(e)], now)

    def _typed(self, events: Iterable[KeypadEvent], now: float) -> list[Deed]:
        deeds: list[Deed] = []
        for event in events:
            match event:
                case Digits(text=text):
                    deeds.append(GiveDigits(text))
                case Action(name="person"):
                    deeds.append(ToPerson())
                case Action():
                    deeds.append(End("caller_pressed_end", final=True))
                case AskAgain() if self._wanted is not None:
                    deeds.append(Tell(digits.ask_again_note(event, self._wanted[1])))
                case Collected() | CollectFailed() if self._wanted is not None:
                    call_id, wanted = self._wanted
                    self._wanted = None
                    self._silence.busy(False, now, "digits")
                    deeds.append(ToolDone(call_id, digits.collect_output(event, wanted)))
        self._arm()
        return deeds

    def _arm(self) -> None:
        times = (self._keypad.next_deadline(), self._silence.next_deadline())
        self._due = min((time for time in times if time is not None), default=float("inf"))


def _replaced(event: KeypadEvent) -> bool:
    return isinstance(event, CollectFailed) and event.reason == "replaced"
