"""CORE: the administrator's choices for an installation beside an Asterisk."""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Self

from ariagent.config import QUEUE_NAME
from ariagent.errors import ConfigurationError

DEFAULT_SEATS = 10
DEFAULT_NUMBER = "7000"
CODE = "*8"
"""How the feature codes begin, unless something else is chosen."""
OUR_CONTEXTS = "ariagent-"
"""The names of ariagent's own contexts and templates begin so."""
MOST_SEATS = 999
"""The seats' extensions have three digits at most."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_QUEUE = re.compile(QUEUE_NAME)
_NUMBER = re.compile(r"[A-Za-z0-9+*#][A-Za-z0-9+*#_-]{0,31}")
_CONTEXT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_+. -]{0,77}[A-Za-z0-9_+.-])?")
_APP = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MEMBER = re.compile(r"(?! )[^,;\"\[\]\\\r\n|]{1,64}(?<! )")
_CODE = re.compile(r"[0-9*#+A-Za-z]{1,16}")
_SPECIAL = frozenset({"h", "s", "i", "t", "o", "a", "e", "fax", "hangup", "failed", "vmret", "invalid", "timeout"})
"""Extensions that Asterisk goes to by itself."""
SEATS_TEMPLATE = "ariagent-seats"
"""The section of ``queues.conf`` that queues of AI seats begin with."""


@dataclass(frozen=True, slots=True)
class Choices:
    """All choices. ``""`` or ``()`` means none."""

    human_queue: str
    """The queue of human agents. They get the calls that the AI cannot take."""
    last_resort: str = ""
    """``CONTEXT,EXTENSION,PRIORITY`` for callers that the human queue does not take."""
    numbers: tuple[str, ...] = (DEFAULT_NUMBER,)
    """Numbers that reach the AI through its queue."""
    direct_numbers: tuple[str, ...] = ()
    """Numbers that reach the AI without a queue."""
    contexts: tuple[str, ...] = ()
    """Contexts of the site's phones. They get the numbers."""
    seats: int = DEFAULT_SEATS
    ai_queue: str = "frontline"
    member_name: str = "AI Agent"
    app: str = "ariagent"
    ari_user: str = "ariagent"
    ami_user: str = "ariagent"
    general: bool = True
    """Whether a value that a ``[general]`` section lacks is added to it."""
    http_port: int = 0
    """Where Asterisk's HTTP server listens if ariagent switches it on; 0: as the site says, else 8088."""
    ami_port: int = 0
    """Port of the manager interface; 0: as the site says, else 5038."""
    supervisor_contexts: tuple[str, ...] = ()
    """Contexts of supervisors' phones. They get the feature codes."""
    supervisors: str = ""
    """Phones that may use the feature codes: numbers or devices, separated by ``&``."""
    code: str = ""
    """The first two characters of the feature codes; ``""`` is ``*8``."""
    service_address: str = ""
    """The service's IP address, if it runs on another machine than Asterisk."""
    asterisk_address: str = ""
    """This Asterisk's IP address, as that service reaches it."""

    def __post_init__(self) -> None:
        _check("human queue", self.human_queue, _QUEUE, optional=True)
        _check("queue of AI seats", self.ai_queue, _NAME, unless=("general", SEATS_TEMPLATE))
        _check("member name", self.member_name, _MEMBER)
        _check("Stasis application", self.app, _APP)
        for kind, name in (("ARI user", self.ari_user), ("AMI user", self.ami_user)):
            _check(kind, name, _APP, unless=("general",))
        for number in (*self.numbers, *self.direct_numbers):
            _check("number", number, _NUMBER, unless=_SPECIAL)
        for context in (*self.contexts, *self.supervisor_contexts):
            _check("context", context, _CONTEXT, unless=("general", "globals"))
            if context.startswith(OUR_CONTEXTS):
                raise ConfigurationError(
                    f"the context {context} is ariagent's own", remedy="Name a context of the site's phones"
                )
        _check("beginning of the feature codes", self.code, _CODE, optional=True)
        if self.supervisors and re.search(r"[^A-Za-z0-9+&/_@.-]", self.supervisors):
            raise ConfigurationError(
                f"supervisors {self.supervisors!r} is not a list of numbers or devices",
                remedy="Separate them by &, as 1004&PJSIP/1005",
            )
        for port in (self.http_port, self.ami_port):
            if not 0 <= port <= 65535:
                raise ConfigurationError(f"port {port} is not between 1 and 65535")
        for address in (self.service_address, self.asterisk_address):
            _check_address(address)
        if bool(self.service_address) != bool(self.asterisk_address):
            raise ConfigurationError(
                "a service on another machine needs two addresses: its own, and this machine's (as it reaches it)",
                remedy="Give --service-address ADDRESS and --asterisk-address ADDRESS",
            )
        if not 1 <= self.seats <= MOST_SEATS:
            raise ConfigurationError(f"{self.seats} seats are not possible; choose 1 to {MOST_SEATS}")
        if not self.numbers and not self.direct_numbers:
            raise ConfigurationError("no number reaches the AI", remedy="Give at least one with --number")
        if twice := {number for number in self.numbers if number in self.direct_numbers}:
            raise ConfigurationError(f"{min(twice)} cannot reach the AI both through its queue and directly")
        if self.last_resort and not _is_place(self.last_resort):
            raise ConfigurationError(
                f"last resort {self.last_resort!r} is not CONTEXT,EXTENSION,PRIORITY",
                remedy="For example from-internal,500,1",
            )
        if self.human_queue.lower() == self.ai_queue.lower():
            raise ConfigurationError(f"the human queue and the queue of AI seats have the same name, {self.ai_queue}")

    @property
    def all_numbers(self) -> tuple[str, ...]:
        """Every number of the AI."""
        return (*self.numbers, *self.direct_numbers)

    def document(self) -> dict[str, Any]:
        """The choices for a JSON file."""
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """The choices of a ``document()``. Keys that this version does not know are ignored."""
        known: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in document.items()
            if key in cls.__dataclass_fields__
        }
        return cls(**known)


def _check(
    kind: str, text: str, pattern: re.Pattern[str], *, optional: bool = False, unless: Collection[str] = ()
) -> None:
    if optional and not text:
        return
    if text.lower() in unless:
        raise ConfigurationError(f"{kind} {text}: Asterisk uses this name itself", remedy="Choose another name")
    if not pattern.fullmatch(text):
        shown = f"{text[:60]!r}{' ...' if len(text) > 60 else ''}"
        raise ConfigurationError(f"{kind} {shown}: ariagent cannot use this name", remedy=_MORE[pattern])


_MORE = {
    _NAME: "Use letters, digits, _ and -, at most 64",
    _QUEUE: "Name a queue of letters, digits, _ + - . and spaces, at most 64",
    _NUMBER: "Use letters, digits and + * # _ -, at most 32",
    _CONTEXT: "Name a context of letters, digits, _ + - . and spaces, at most 79",
    _APP: "Use letters, digits, _ and -, at most 64",
    _MEMBER: "Use at most 64 characters, none of them a comma, a semicolon, a quote or a bracket",
    _CODE: "Use digits, * and #, at most 16",
}


def is_address(text: str) -> bool:
    """Whether this is the IP address of one machine."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_multicast)


def _check_address(text: str) -> None:
    if text and not is_address(text):
        raise ConfigurationError(f"{text!r} is not the IP address of a machine", remedy="For example 10.0.0.7")


def _is_place(text: str) -> bool:
    parts = text.split(",")
    return (
        len(parts) == 3
        and _CONTEXT.fullmatch(parts[0]) is not None
        and re.fullmatch(r"[A-Za-z0-9+*#_-]{1,64}", parts[1]) is not None
        and re.fullmatch(r"[0-9]{1,4}|[A-Za-z][A-Za-z0-9_-]{0,63}", parts[2]) is not None
    )
