"""Agents: who they are, how they talk, and which calls they take."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from ariagent.agents import template
from ariagent.config.base import Form, Language, Section, Text, VariableName
from ariagent.config.handoff import Alternatives
from ariagent.config.tools import LookupSettings, ToolName

Seconds = Annotated[float, Field(gt=0, le=86_400)]

MAX_OPENING_CHARS = 600
"""About 40 seconds of speech; nobody listens longer before they may say what they want."""


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
    """How sure the detector must be that it hears speech."""
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    """How much before the detected start belongs to the turn."""
    silence_duration_ms: Annotated[int, Field(ge=50, le=10000)] = 500
    """Silence that ends a turn."""
    idle_timeout_ms: Annotated[int, Field(ge=1000, le=600_000)] | None = None
    """After this long without the caller the model is asked to say something; null: never."""
    create_response: bool = True
    """The server answers each turn by itself; otherwise ariagent asks it to, a round trip later."""
    interrupt_response: bool = False
    """The server stops its response whenever it believes to hear the caller; false: ariagent pauses, and stops it
    when it really is the caller (``interruptions``)."""


class SemanticVad(Section):
    """Turn detection by meaning."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """How soon a pause is taken for the end: at most 8, 4, 2 s for low, medium, high."""
    create_response: bool = True
    """As with ``server_vad``."""
    interrupt_response: bool = False
    """As with ``server_vad``."""


class TranscriptionSettings(Section):
    """What the caller said, as text for records; the model itself hears the audio."""

    model: str = "gpt-transcribe"
    """The transcription model."""
    language: str | None = None
    """Of the caller, as ``en``; null: detected, and sometimes wrongly."""
    prompt: str | None = None
    """Words to expect, as a sentence."""
    keywords: tuple[str, ...] = ()
    """Words to expect: names, products."""


class InterruptionSettings(Section):
    """What counts as an interruption. At every sound that is loud enough the agent falls silent; it goes on where it
    stopped when the sound was a cough, a hum of agreement, noise or echo. `docs/turn-taking.md` has the details."""

    confirm: bool = True
    """False: every sound that the model's server takes for speech ends the reply."""
    speech_ms: Annotated[int, Field(ge=100, le=5000)] = 600
    """Speech of this length within 1.5 s is an interruption without looking at its words; a shorter one is when its
    words say more than that the caller listens, which needs `transcription`."""
    level_db: Annotated[float, Field(ge=0, le=60)] = 10.0
    """Sounds this much below the caller's usual level are not theirs."""
    agreement: tuple[str, ...] | None = None
    """Words that only say that the caller listens; null: those of the agent's language ("uh-huh", "okay")."""


class SilenceSettings(Section):
    """A caller who says nothing is asked once, asked again, and then told goodbye."""

    ask_after_s: Seconds = 10.0
    """Silence after the agent's last word."""
    ask_again_after_s: Seconds = 10.0
    """Silence after the first question."""
    goodbye_after_s: Seconds = 10.0
    """Silence after the second question."""
    hold_on_s: Seconds = 180.0
    """Instead of these, when the caller said to wait ("hold on"), or is on hold."""


class LengthSettings(Section):
    """The longest call."""

    longest_s: Seconds = 3600.0
    """Then the agent says goodbye and ends the call."""
    warn_before_s: Seconds = 60.0
    """So long before that the agent tells the caller."""


class KeypadSettings(Section):
    """What the caller's keys do."""

    pause_ms: Annotated[int, Field(ge=100, le=10_000)] = 800
    """Digits belong together until this long without another one."""
    terminator: Annotated[
        Text, BeforeValidator(_key), Form(r"^[0-9*#]?$", 'must be one key of a telephone, as "#", or empty: ""')
    ] = "#"
    """Ends them at once; empty: none does."""
    actions: dict[Keys, Literal["person", "end_call", "ignore"]] = {}
    """What a key or a sequence of keys does instead of reaching the model: ``person`` gives the caller to people,
    ``end_call`` ends the call."""


class AgentSettings(Section):
    """One AI agent: who it is and how it talks."""

    instructions: str = "You are a friendly, brief telephone assistant. Say so when you do not know something."
    """What the model is told about itself and its work. ``{caller.number}``, ``{caller.name}``, ``{called.number}``,
    ``{queue}``, ``{agent.name}``, ``{now.date}``, ``{now.time}``, ``{now.weekday}``, ``{variable.NAME}`` and
    ``{lookup.NAME}`` are filled in; ``{caller.name|a caller}`` says what stands there without a value."""
    language: Language = "en"
    """The language it greets in."""
    languages: tuple[Language, ...] | None = None
    """Others that it may change to when the caller speaks them; null: whichever the caller speaks."""
    opening: str | dict[Language, str] | None = OPENINGS
    """First words, always the same, from the first moment; one text, or one for each language; null: the caller
    speaks first. Say in it that the caller talks with a machine: in many places the law wants it."""
    voice: Annotated[str, Field(min_length=1)] = "marin"
    """One of the model's voices, or ``voice_...``, the id of one made for the site."""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    """Speed of speech; 1 is normal."""
    model: str | None = None
    """Default: ``realtime.model``."""
    reasoning: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    """How long the model thinks before it answers, for models that reason; callers wait that long. null: the model's
    own default."""
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] = ServerVad()
    """How the end of the caller's turn is found."""
    noise_reduction: Literal["near_field", "far_field"] | None = "near_field"
    """Applied by the model's server before turn detection; null: off."""
    transcription: TranscriptionSettings | None = TranscriptionSettings()
    """What the caller says as text, for the log; null: off (billed apart)."""
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | Literal["inf"] = 1200
    """Longest response, in tokens; reserved against the rate limit for every response."""
    interruptions: InterruptionSettings = InterruptionSettings()
    """When the caller's voice ends a reply."""
    silence: SilenceSettings | None = SilenceSettings()
    """What happens when the caller says nothing; null: nothing."""
    length: LengthSettings = LengthSettings()
    """How long a call may be."""
    machines: Literal["end", "ignore"] = "end"
    """What happens when a fax, a modem or an answering machine is calling."""
    keypad: KeypadSettings = KeypadSettings()
    """What the caller's keys do."""
    builtin_tools: tuple[Literal["end_call", "collect_digits", "hold_on"], ...] = (
        "end_call",
        "collect_digits",
        "hold_on",
    )
    """Functions of ariagent's own that the model may call."""
    tools: tuple[ToolName, ...] = ()
    """Functions of the site's that it may call: names from ``tools``, or of installed Python entry points."""
    handoff: tuple[str, ...] = ()
    """Whom it may hand callers to: names from ``destinations``."""
    alternatives: Alternatives = ("wait", "stay")
    """What callers are offered who cannot be put through now: to ``wait``, to leave a ``message``, to be called back
    (``callback``), to ``stay`` with the agent. Messages and callbacks: ``ariagent calls --messages``."""
    max_calls: Annotated[int, Field(ge=1)] | None = None
    """Calls of this agent at once; one more goes to people. null: as many as the service takes."""
    mcp: tuple[str, ...] = ()
    """Names from ``mcp_servers``."""
    variables: tuple[VariableName, ...] = ()
    """Channel variables that the instructions use, as ``{variable.NAME}``."""
    lookup: LookupSettings | None = None
    """Asked before answering, as ``{lookup.NAME}``."""

    def opening_in(self, language: str) -> str | None:
        """The first words in a language; where they are not given in it, in the agent's own, else in the first. A
        language with a region falls back on that without."""
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
            if any(template.templates(text)):
                raise ValueError(f"{named}is the same for every caller; only instructions are filled in")
        return value

    @field_validator("turn_detection", mode="before")
    @classmethod
    def _server_vad_by_default(cls, value: object) -> object:
        return {"type": "server_vad", **value} if isinstance(value, dict) and "type" not in value else value


class RouteSettings(Section):
    """Which agent takes a call: that of the first route of which everything given matches. ``*`` stands for any text,
    but not for none."""

    agent: str
    """A name from ``agents``."""
    extension: Text | None = None
    """The extension that was dialled inside (``"7001"``; numbers in quotes)."""
    queue: Text | None = None
    """The queue that the caller came through."""
    dialled: Text | None = None
    """The number that the caller dialled from outside (DNID)."""
    variables: dict[VariableName, Text] = {}
    """Channel variables and their values."""
