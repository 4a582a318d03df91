"""The script of a synthetic caller, step by step: the vocabulary, and its YAML file, read strictly.

    voice: kal16                        # kal, kal16, awb, rms, slt; Spanish: es, es-419; default kal16
    noise: {kind: babble, snr_db: 10}   # around the caller: babble, street or cough; default none
    steps:
      - wait_answer: {within: 8}        # until the agent has spoken and fallen quiet (quiet: 0.8 s by default)
      - say: What are your opening hours?
      - say: [And on, {pause: 0.6}, "Saturday?"]  # a pause inside the sentence
      - play: question.wav              # beside this file; any mono or stereo 16-bit WAV
      - wait_answer
      - expect: {words: [monday, friday], any: true}
      - interrupt: {after: 1.5, say: Wait a moment., stop_within: 2}
      - press: "1"
      - silence: 2
      - hangup
      - expect_hangup: {within: 10}

Times are seconds. A rehearsal (``ariagent rehearse``) is such a script that also says how the whole call has to go:

    title: A caller who talks to everybody else as well
    caller_id: "5550123"
    extension: "7001"                   # where this one is to be called; default: as the command line says
    context: from-internal              # the dialplan context of the extension; default: as the command line says
    expect:                             # see expectations.Expectations
      said: [opening hours]
      ended_by: agent
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from ariagent.caller.expectations import Expectations, ToolUse, Words
from ariagent.caller.noise import Kind, Noise
from ariagent.complaints import KeyPath
from ariagent.config import Section
from ariagent.configfile import yamlfile
from ariagent.errors import ConfigurationError

DEFAULT_SCRIPT = Path(__file__).parent / "scripts" / "default.yaml"
DEFAULT_VOICE = "kal16"


@dataclass(frozen=True, slots=True)
class Continued:
    """A part of a sentence, after a pause."""

    pause_s: float
    """From the last sound of the part before to the first sound of this part."""
    text: str


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text, or a sentence with pauses in it; the step is over when its last sound was sent."""

    text: str
    """The whole sentence, or its first part."""
    more: tuple[Continued, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The parts between the pauses."""
        return (self.text, *(part.text for part in self.more))


@dataclass(frozen=True, slots=True)
class Play:
    """A step that plays a recording."""

    path: Path


@dataclass(frozen=True, slots=True)
class WaitAnswer:
    """Wait until the agent has spoken and then been quiet for ``quiet_s``. Fails when it does not begin in time."""

    within_s: float = 10.0
    quiet_s: float = 0.8


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Wait for the agent to speak, let it for ``after_s``, then talk over it. Fails when it does not stop in time."""

    after_s: float
    text: str
    stop_within_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys of the telephone."""

    digits: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing for a while."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class Expect:
    """The last answer has these words (phrases are allowed), or one of them. Judged as soon as it is recognised."""

    words: tuple[str, ...]
    any_of: bool = False


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller hangs up."""


@dataclass(frozen=True, slots=True)
class ExpectHangup:
    """The other side hangs up. Fails when it does not in time."""

    within_s: float = 10.0


Step = Say | Play | WaitAnswer | Interrupt | Press | Silence | Expect | HangUp | ExpectHangup


@dataclass(frozen=True, slots=True)
class Script:
    """Steps in order. ``places[i]`` tells where step i was written, for messages."""

    steps: tuple[Step, ...]
    voice: str = DEFAULT_VOICE
    source: str = "script"
    places: tuple[str, ...] = ()
    title: str = ""
    noise: Noise | None = None
    caller_id: str | None = None
    extension: str | None = None
    context: str | None = None
    expected: Expectations = field(default_factory=Expectations)

    def place(self, index: int) -> str:
        """``file:line: step 3 (say)``; ``index`` counts from 0."""
        where = f"{Path(self.places[index]).name}: " if index < len(self.places) else ""
        return f"{where}step {index + 1} ({_NAMES[type(self.steps[index])]})"


def with_patience(script: Script, factor: float) -> Script:
    """The script with every time limit multiplied by ``factor``; the caller's own actions take as long as before."""
    steps: list[Step] = []
    for step in script.steps:
        match step:
            case WaitAnswer(within_s=within_s) | ExpectHangup(within_s=within_s):
                steps.append(replace(step, within_s=within_s * factor))
            case Interrupt(stop_within_s=within_s):
                steps.append(replace(step, stop_within_s=within_s * factor))
            case _:
                steps.append(step)
    return replace(script, steps=tuple(steps), expected=script.expected.with_patience(factor))


_NAMES: dict[type, str] = {
    Say: "say",
    Play: "play",
    WaitAnswer: "wait_answer",
    Interrupt: "interrupt",
    Press: "press",
    Silence: "silence",
    Expect: "expect",
    HangUp: "hangup",
    ExpectHangup: "expect_hangup",
}
_BARE = ("wait_answer", "hangup", "expect_hangup")
"""Steps that may be written without anything behind them."""

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Seconds = Annotated[float, Field(gt=0, le=600)]


class _Pause(Section):
    pause: Annotated[float, Field(gt=0, le=60)]


class _WaitAnswer(Section):
    within: Seconds = 10.0
    quiet: Seconds = 0.8


class _Interrupt(Section):
    after: Annotated[float, Field(ge=0, le=600)]
    say: Text
    stop_within: Seconds = 2.0


class _Expect(Section):
    words: Annotated[tuple[Text, ...], Field(min_length=1)]
    any: bool = False

    @field_validator("words")
    @classmethod
    def _have_letters(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if not any(letter.isalnum() for letter in word):
                raise ValueError(f"{word!r} is not a word")
        return words


class _Nothing(Section):
    pass


class _ExpectHangup(Section):
    within: Seconds = 10.0


class _StepKeys(Section):
    """One step of the file: exactly one of these keys."""

    say: tuple[Text | _Pause, ...] | None = None
    play: Text | None = None
    wait_answer: _WaitAnswer | None = None
    interrupt: _Interrupt | None = None
    press: Annotated[str, Field(pattern=r"^[0-9A-Da-d*#]{1,32}$")] | None = None
    silence: Seconds | None = None
    expect: _Expect | None = None
    hangup: _Nothing | None = None
    expect_hangup: _ExpectHangup | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_step(cls, value: object) -> object:
        known = ", ".join(_NAMES.values())
        if isinstance(value, str) and value in _BARE:
            return {value: {}}
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError(f"a step is one of: {known}")
        key, content = next(iter(value.items()))
        if content is None and key in _BARE:
            return {key: {}}
        if content is None:
            raise ValueError(f"{key} has no value")
        return value

    @field_validator("press", mode="before")
    @classmethod
    def _digits_are_text(cls, value: object) -> object:
        if isinstance(value, int):
            raise ValueError(f'write the keys in quotes, "{value}", or YAML reads them as a number')
        return value

    @field_validator("say", mode="before")
    @classmethod
    def _pauses_are_inside(cls, value: object) -> object:
        if not isinstance(value, list):
            return [value]
        if len(value) % 2 == 0 or any(isinstance(part, str) != (index % 2 == 0) for index, part in enumerate(value)):
            raise ValueError('write a text, a pause, a text ...: [When do you, {pause: 0.6}, "open?"]')
        return value

    @field_validator("play")
    @classmethod
    def _file_exists(cls, value: str, info: ValidationInfo) -> str:
        folder = info.context or Path()
        if not (folder / value).is_file():
            raise ValueError(f"there is no such file: {folder / value}")
        return str(folder / value)

    def step(self) -> Step:
        """The step in the caller's vocabulary."""
        match self:
            case _StepKeys(say=tuple(parts)):
                texts = [part for part in parts if isinstance(part, str)]
                pauses_s = [part.pause for part in parts if isinstance(part, _Pause)]
                return Say(texts[0], tuple(map(Continued, pauses_s, texts[1:])))
            case _StepKeys(play=str(path)):
                return Play(Path(path))
            case _StepKeys(wait_answer=_WaitAnswer(within=within, quiet=quiet)):
                return WaitAnswer(within, quiet)
            case _StepKeys(interrupt=_Interrupt(after=after, say=text, stop_within=within)):
                return Interrupt(after, text, within)
            case _StepKeys(press=str(digits)):
                return Press(digits.upper())
            case _StepKeys(silence=float(duration)):
                return Silence(duration)
            case _StepKeys(expect=_Expect(words=words, any=any_of)):
                return Expect(words, any_of)
            case _StepKeys(expect_hangup=_ExpectHangup(within=within)):
                return ExpectHangup(within)
        return HangUp()


class _Noise(Section):
    kind: Kind
    snr_db: Annotated[float, Field(ge=-10, le=60)]
    seed: Annotated[int, Field(ge=0)] = 1


class _ScriptFile(Section):
    title: Text = ""
    voice: Literal["kal", "kal16", "awb", "rms", "slt", "es", "es-419"] = "kal16"
    noise: _Noise | None = None
    caller_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z+]{1,40}$")] | None = None
    extension: Annotated[str, Field(pattern=r"^[0-9A-Za-z_*#+-]{1,40}$")] | None = None
    context: Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,79}$")] | None = None
    steps: tuple[_StepKeys, ...]
    expect: Expectations = Expectations()

    @field_validator("steps")
    @classmethod
    def _not_none(cls, steps: tuple[_StepKeys, ...]) -> tuple[_StepKeys, ...]:
        if not steps:
            raise ValueError("there is nothing to do")
        return steps

    @model_validator(mode="after")
    def _steps_exist(self) -> Self:
        for words in (*self.expect.said, *self.expect.never_said):
            if words.after is not None and words.after > len(self.steps):
                raise ValueError(f"after: {words.after}, but there are {len(self.steps)} steps")
        return self

    def script(self, source: str, places: tuple[str, ...]) -> Script:
        """The script in the caller's vocabulary."""
        return Script(
            tuple(keys.step() for keys in self.steps),
            self.voice,
            source,
            places,
            self.title or Path(source).stem.replace("_", " "),
            Noise(self.noise.kind, self.noise.snr_db, self.noise.seed) if self.noise else None,
            self.caller_id,
            self.extension,
            self.context,
            self.expect,
        )


def load_script(path: Path = DEFAULT_SCRIPT) -> Script:
    """Read a script. Raises ConfigurationError with ``file:line: key: what is wrong``, one a line."""
    return _judge(path, *yamlfile.read(path, remedy="Name one with --script FILE"))


def parse_script(text: str, source: Path) -> Script:
    """A script from the text of its file; recordings are looked for beside ``source``."""
    return _judge(source, *yamlfile.parse(source, text))


def _judge(path: Path, tree: dict[str, Any], lines: dict[KeyPath, str]) -> Script:
    try:
        script = _ScriptFile.model_validate(tree, context=path.parent)
    except ValidationError as error:
        raise ConfigurationError("\n".join(yamlfile.explain(str(path), lines, error, _known_here))) from None
    places = tuple(lines[("steps", index)] for index in range(len(script.steps)))
    return script.script(str(path), places)


_SECTIONS: dict[str, type[Section]] = {
    "said": Words,
    "never_said": Words,
    "tools": ToolUse,
    "wait_answer": _WaitAnswer,
    "interrupt": _Interrupt,
    "expect": _Expect,
    "expect_hangup": _ExpectHangup,
}


def _known_here(path: KeyPath) -> str:
    model: type[Section] = _ScriptFile if len(path) == 1 else _StepKeys
    if len(path) == 5 and path[2] == "say":
        model = _Pause
    elif len(path) == 2:
        model = Expectations if path[0] == "expect" else _Noise
    elif path[0] == "expect":
        model = _SECTIONS.get(str(path[1]), _Nothing)
    elif len(path) == 4:
        model = _SECTIONS.get(str(path[2]), _Nothing)
    return f" (known here: {', '.join(model.model_fields) or 'none'})"
