"""CORE: the administrator's choices for an installation beside an Asterisk."""

import ipaddress
import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from ariagent.errors import ConfigurationError

DEFAULT_SEATS = 10
DEFAULT_NUMBER = "7000"
MOST_SEATS = 999
"""The seats' extensions have three digits at most."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_NUMBER = re.compile(r"[A-Za-z0-9+*#][A-Za-z0-9+*#_-]{0,31}")
_CONTEXT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,78}")
_APP = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MEMBER = re.compile(r"[^,;\"\[\]\\\r\n|]{1,64}")


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
    """The same for the manager interface; 0: as the site says, else 5038."""
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
        _check("human queue", self.human_queue, _NAME, optional=True)
        _check("queue of AI seats", self.ai_queue, _NAME)
        _check("member name", self.member_name, _MEMBER)
        _check("Stasis application", self.app, _APP)
        for kind, name in (("ARI user", self.ari_user), ("AMI user", self.ami_user)):
            _check(kind, name, _APP)
            if name.lower() == "general":
                raise ConfigurationError(
                    f"{kind} {name}: Asterisk uses this name for a section", remedy="Choose another name"
                )
        for number in (*self.numbers, *self.direct_numbers):
            _check("number", number, _NUMBER)
        for context in (*self.contexts, *self.supervisor_contexts):
            _check("context", context, _CONTEXT)
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
        """For a JSON file."""
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


def _check(kind: str, text: str, pattern: re.Pattern[str], *, optional: bool = False) -> None:
    if (optional and not text) or pattern.fullmatch(text):
        return
    raise ConfigurationError(f"{kind} {text!r} is not a name that Asterisk accepts")


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
