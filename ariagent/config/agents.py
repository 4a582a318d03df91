"""Agents: who they are, how they talk, and which calls they take."""

from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, field_validator

from ariagent.config.base import Form, Language, Section, Text, TranscriptionLanguage, VariableName
from ariagent.config.handoff import Alternatives
from ariagent.config.hours import Zone
from ariagent.config.tools import LookupSettings, ToolName
from ariagent.values import placeholders

Seconds = Annotated[float, Field(gt=0, le=86_400)]

MAX_OPENING_CHARS = 600
"""About 40 seconds of speech. Callers do not listen longer before they speak."""


def _key(value: object) -> object:
    # A single digit is the same key however YAML has read it.
    return str(value) if type(value) is int and 0 <= value <= 9 else value


KEYS = r"^[0-9*#]{1,8}$"
Keys = Annotated[
    Text, BeforeValidator(_key), Form(KEYS, 'must be one to eight keys of a telephone (0-9, *, #), as "0" or "*9"')
]

OPENINGS = {
    "en": "Hello, you are speaking with an automated assistant. How can I help you?",
    "es": "Hola, le atiende un asistente automático. ¿En qué puedo ayudarle?",
    "de": "Guten Tag, Sie sprechen mit einem automatischen Assistenten. Wie kann ich Ihnen helfen?",
    "fr": "Bonjour, vous parlez avec un assistant automatique. Comment puis-je vous aider ?",
    "it": "Buongiorno, sta parlando con un assistente automatico. Come posso aiutarla?",
    "pt": "Olá, está a falar com um assistente automático. Em que posso ajudar?",
    "nl": "Goedendag, u spreekt met een geautomatiseerde assistent. Waarmee kan ik u helpen?",
}


class ServerVad(Section):
    """Turn detection by silence."""

    type: Literal["server_vad"] = "server_vad"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How sure the detector must be that a sound is speech. With a high value it ignores soft voices."""
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    """Milliseconds of audio before the detected start of speech that also belong to the turn."""
    silence_duration_ms: Annotated[int, Field(ge=50, le=10000)] = 500
    """Milliseconds of silence that end a turn."""
    idle_timeout_ms: Annotated[int, Field(ge=1000, le=600_000)] | None = None
    """If the caller says nothing for this many milliseconds, the server asks the model to say something. null:
    never."""
    create_response: bool = True
    """true: the server answers each turn by itself. false: ariagent requests the answer, one round trip later."""
    interrupt_response: bool = False
    """true: the server stops its response at every sound that it takes for the caller. false: ariagent pauses the
    response, and stops it if the sound is an interruption (``interruptions``)."""


class SemanticVad(Section):
    """Turn detection by meaning."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """How soon a pause ends the turn: ``low`` after at most 8 s, ``medium`` 4 s, ``high`` 2 s."""
    create_response: bool = True
    """See the same key of type ``server_vad``."""
    interrupt_response: bool = False
    """See the same key of type ``server_vad``."""


class FastTurnsSettings(Section):
    """The time of an answer with `turns: fast`. `docs/turn-taking.md` has the details."""

    early_silence_ms: Annotated[int, Field(ge=100, le=1000)] = 200
    """Silence after which the model's server ends the turn and begins the answer, instead of
    ``turn_detection.silence_duration_ms``. The caller does not hear that answer yet."""
    hold_ms: Annotated[int, Field(ge=200, le=5000)] | None = None
    """The hold time. If the end-of-turn judge does not say that the turn is complete, or is missing, the caller
    hears the answer this long after the end of speech. null: the value for the agent's language."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """The judge gives the probability that the turn is complete. If the probability is at least this value, the caller
    hears the answer at once. null: the value for the agent's language."""


class HoldDefaults(NamedTuple):
    """The values of ``fast_turns`` for a language."""

    hold_ms: int
    threshold: float


HOLD_DEFAULTS = {
    "en": HoldDefaults(hold_ms=1000, threshold=0.7),
    "es": HoldDefaults(hold_ms=1600, threshold=0.4),
    "fr": HoldDefaults(hold_ms=1600, threshold=0.3),
    "it": HoldDefaults(hold_ms=1200, threshold=0.9),
    "ru": HoldDefaults(hold_ms=1200, threshold=0.8),
}
"""With these, by the curves of docs/measurements-turns.md, four of five answers come at once, and fewer callers are
talked over than with ``turns: server``."""
OTHER_LANGUAGES = HoldDefaults(hold_ms=1200, threshold=0.8)
"""For languages in which the judge was not measured."""


class TranscriptionSettings(Section):
    """The caller's words as text, for records. The model itself hears the audio."""

    model: str = "gpt-transcribe"
    """The transcription model."""
    language: TranscriptionLanguage | None = None
    """The caller's language, for example ``en`` (ISO 639-1; ``pt-BR`` counts as ``pt``). null: the server detects it,
    sometimes wrongly."""
    prompt: str | None = None
    """A sentence with words that callers may say, as a hint for the transcription."""
    keywords: tuple[str, ...] = ()
    """Words that callers may say, as a hint for the transcription: names, products."""


class InterruptionSettings(Section):
    """The decision about interruptions (barge-in). At every sound that is loud enough the agent pauses. If the sound
    was a cough, a hum of agreement, noise or echo, the agent continues where it stopped. `docs/turn-taking.md` has the
    details."""

    confirm: bool = True
    """true: ariagent judges each sound before it ends a reply. false: every sound that the model's server takes for
    speech ends the reply."""
    speech_ms: Annotated[int, Field(ge=100, le=5000)] = 600
    """This many milliseconds of speech within 1.5 s are an interruption, whatever the words. Shorter speech is an
    interruption if it has other words than agreement; for this the agent needs `transcription`."""
    level_db: Annotated[float, Field(ge=0, le=60)] = 10.0
    """ariagent ignores sounds that are quieter than the caller's usual level by more than this."""
    agreement: tuple[str, ...] | None = None
    """Words of agreement, which only show that the caller is listening. null: the usual words of the agent's language
    ("uh-huh", "okay")."""


class SilenceSettings(Section):
    """If the caller says nothing, the agent asks twice whether the caller is there, and then says goodbye."""

    ask_after_s: Seconds = 10.0
    """Seconds of silence after the agent's last word until the agent asks whether the caller is there."""
    ask_again_after_s: Seconds = 10.0
    """Further seconds of silence until the agent asks again."""
    goodbye_after_s: Seconds = 10.0
    """Further seconds of silence until the agent says goodbye."""
    hold_on_s: Seconds = 180.0
    """Replaces `ask_after_s` after the caller has asked the agent to wait ("hold on"), and while a direct call is on
    hold. If a phone on hold sends no audio, the agent does not ask; `watchdog.no_audio_s` applies."""


class LengthSettings(Section):
    """How long a call may be."""

    longest_s: Seconds = 3600.0
    """After this many seconds of conversation the agent says goodbye and ends the call."""
    warn_before_s: Seconds = 60.0
    """The agent warns the caller this many seconds before the end."""


class KeypadSettings(Section):
    """The actions of the caller's keys."""

    pause_ms: Annotated[int, Field(ge=100, le=10_000)] = 800
    """A sequence of digits ends if no further digit comes for this many milliseconds."""
    terminator: Annotated[
        Text, BeforeValidator(_key), Form(r"^[0-9*#]?$", 'must be one key of a telephone, as "#", or empty: ""')
    ] = "#"
    """The key that ends a sequence of digits at once. Empty: no such key."""
    actions: dict[Keys, Literal["person", "end_call", "ignore"]] = {}
    """Keys, or sequences of keys, with an action; the model does not get them. ``person`` transfers the caller to the
    first of the agent's destinations (``handoff``), or to the human queue if there is none. ``end_call`` ends the call.
    ``ignore`` does nothing."""


class AgentSettings(Section):
    """One AI agent: its role, its voice, its tools."""

    instructions: str = "You are a friendly, brief telephone assistant. Say so when you do not know something."
    """The model's instructions: its role and its work. ariagent fills in ``{caller.number}``, ``{caller.name}``,
    ``{called.number}``, ``{queue}``, ``{agent.name}``, ``{now.date}``, ``{now.time}``, ``{now.weekday}``,
    ``{variable.NAME}`` and ``{lookup.NAME}``. In ``{caller.name|a caller}`` the text after ``|`` is used if there is no
    value."""
    language: Language = "en"
    """The language in which the agent begins, and of the day's name in ``{now.weekday}``."""
    timezone: Zone | None = None
    """The time zone of ``{now.date}``, ``{now.time}`` and ``{now.weekday}``. null: the site's (``timezone``)."""
    languages: tuple[Language, ...] | None = None
    """Other languages that the agent may change to if the caller speaks them. null: any language."""
    opening: str | dict[Language, str] | None = OPENINGS
    """The first words of every call: one text, or one for each language. null: the caller speaks first. State that the
    caller is talking to an AI; many jurisdictions require it."""
    voice: Annotated[str, Field(min_length=1)] = "marin"
    """One of the model's voices, or ``voice_...``, the id of a custom voice."""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    """Speed of speech; 1 is normal."""
    model: str | None = None
    """Default: ``realtime.model``."""
    reasoning: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    """How much the model thinks before it answers, for models that reason. Callers wait meanwhile. null: the model's
    default."""
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] = ServerVad()
    """How the end of the caller's turn is detected."""
    turns: Literal["fast", "server"] = "server"
    """``fast``: the model's server answers after ``fast_turns.early_silence_ms``. ariagent plays the answer when the
    turn is over. If the caller continues, ariagent discards the answer; you pay for its tokens. ``server``: the server
    decides when the turn is over."""
    fast_turns: FastTurnsSettings = FastTurnsSettings()
    """The times of ``turns: fast``."""
    noise_reduction: Literal["near_field", "far_field"] | None = "near_field"
    """Noise reduction by the model's server, before turn detection. null: off."""
    transcription: TranscriptionSettings | None = TranscriptionSettings()
    """The caller's words as text, for records (billed separately). null: off."""
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | Literal["inf"] = 1200
    """Longest response, in tokens. The server counts this many tokens of each response against your rate limit."""
    interruptions: InterruptionSettings = InterruptionSettings()
    """When the caller's voice interrupts a reply."""
    silence: SilenceSettings | None = SilenceSettings()
    """The agent's prompts while the caller says nothing. null: no prompts."""
    length: LengthSettings = LengthSettings()
    """How long a call may be."""
    machines: Literal["end", "ignore"] = "end"
    """If a fax, a modem or an answering machine is on the line: ``end`` ends the call, ``ignore`` continues it."""
    keypad: KeypadSettings = KeypadSettings()
    """The actions of the caller's keys."""
    builtin_tools: tuple[Literal["end_call", "collect_digits", "hold_on"], ...] = (
        "end_call",
        "collect_digits",
        "hold_on",
    )
    """ariagent's own functions that the model may call."""
    tools: tuple[ToolName, ...] = ()
    """The site's functions that the model may call: names from ``tools``, or of installed Python entry points."""
    handoff: tuple[str, ...] = ()
    """Where the agent may transfer callers: names from ``destinations``."""
    alternatives: Alternatives = ("wait", "stay")
    """The agent's offers to callers who cannot be transferred now: to ``wait``, to leave a ``message``, to be called
    back (``callback``), to ``stay`` with the agent. ``ariagent calls --messages`` lists messages and callbacks."""
    max_calls: Annotated[int, Field(ge=1)] | None = None
    """The largest number of calls of this agent at the same time. Further callers are sent to the human queue. null:
    only the limit of the service."""
    mcp: tuple[str, ...] = ()
    """MCP servers that the model may use: names from ``mcp_servers``."""
    variables: tuple[VariableName, ...] = ()
    """Channel variables and functions that the instructions use, as ``{variable.NAME}``. If Asterisk cannot read one,
    the template's default replaces it."""
    lookup: LookupSettings | None = None
    """An HTTP request before the call is answered. The instructions use its answer as ``{lookup.NAME}``."""

    def opening_in(self, language: str) -> str | None:
        """The first words in a language. Without a text in it, those in the agent's own language, else the first text.
        A language with a region falls back on the one without."""
        if not isinstance(self.opening, dict):
            return self.opening
        for code in (language, self.language):
            if text := self.opening.get(code) or self.opening.get(code.partition("-")[0]):
                return text
        return next(iter(self.opening.values()), None)

    @field_validator("opening")
    @classmethod
    def _opening_can_be_said(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        if value == {}:
            raise ValueError("must hold a text for at least one language; null for no opening")
        for language, text in value.items() if isinstance(value, dict) else (("", value or " "),):
            named = f"{language}: " if language else ""
            if value is not None and not text.strip():
                raise ValueError(f"{named}must not be empty; null for no opening")
            if len(text) > MAX_OPENING_CHARS:
                raise ValueError(f"{named}must have at most {MAX_OPENING_CHARS} characters, not {len(text)}")
            if any(placeholders.templates(text)):
                raise ValueError(f"{named}is the same for every caller; only instructions are filled in")
        return value

    @field_validator("turn_detection", mode="before")
    @classmethod
    def _server_vad_by_default(cls, value: object) -> object:
        return {"type": "server_vad", **value} if isinstance(value, dict) and "type" not in value else value

    @property
    def used_turn_detection(self) -> ServerVad | SemanticVad:
        """The turn detection that the server is asked for."""
        detection = self.turn_detection
        if self.turns == "server" or isinstance(detection, SemanticVad):
            return detection
        return detection.model_copy(update={"silence_duration_ms": self.fast_turns.early_silence_ms})

    def hold_in(self, language: str) -> HoldDefaults:
        """The hold time and the threshold of ``turns: fast`` in a language."""
        usual, given = HOLD_DEFAULTS.get(language.partition("-")[0], OTHER_LANGUAGES), self.fast_turns
        hold_ms = usual.hold_ms if given.hold_ms is None else given.hold_ms
        return HoldDefaults(hold_ms, usual.threshold if given.threshold is None else given.threshold)

    @property
    def lookup_names(self) -> tuple[str, ...] | None:
        """The names that the lookup finds. None: any may be found."""
        if self.lookup is None:
            return ()
        return None if self.lookup.answer is None else tuple(self.lookup.answer)


class RouteSettings(Section):
    """The choice of the agent for a call. The first route with keys that all match decides. ``*`` matches any text
    except an empty one. null: the key is not compared."""

    agent: str
    """A name from ``agents``."""
    extension: Text | None = None
    """The extension that the caller reached (``"7001"``; write numbers in quotes)."""
    queue: Text | None = None
    """The queue that the caller came through."""
    dialled: Text | None = None
    """The number that the caller dialled from outside (DNID)."""
    variables: dict[VariableName, Text] = {}
    """Channel variables, and the values that they must have."""
