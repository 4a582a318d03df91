"""Access to the control API: its address and its tokens."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from ariagent.config.base import Form, Network, Port, Section
from ariagent.config.secrets import Secret, judged

SHORTEST_TOKEN = 16
"""Characters. A shorter token can be guessed, although guessing is slowed down."""
TAKEN_NAMES = ("model", "caller", "local")
"""Names with another meaning in logs and records: the model, the caller, and the token of the service's own machine."""


def _too_short(token: str) -> str | None:
    return None if len(token) >= SHORTEST_TOKEN else f"the token is too short: use at least {SHORTEST_TOKEN} characters"


class TokenSettings(Section):
    """A user of the control API. Give ``sha256`` or ``token``."""

    name: Annotated[
        str,
        Form(
            r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$",
            "must be a name of letters, digits and _ . @ -, at most 64 of them, as anna or anna@example.com",
        ),
    ]
    """The user's name, as logs and records show it."""
    role: Literal["viewer", "supervisor", "admin"]
    """``viewer`` sees calls. ``supervisor`` also moves calls, whispers, pauses seats. ``admin`` may do everything."""
    sha256: (
        Annotated[
            str, Form(r"^[0-9a-fA-F]{64}$", "must be 64 hexadecimal digits, as printf %s TOKEN | sha256sum prints them")
        ]
        | None
    ) = None
    """SHA-256 of the token: ``printf %s TOKEN | sha256sum``."""
    token: Annotated[Secret, judged(_too_short)] | None = None
    """The token itself (secret), at least 16 characters. Write ``${NAME}`` or ``file:PATH`` to keep it out of this
    file."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.sha256 is None) == (self.token is None):
            raise ValueError("needs sha256 or token, and not both")
        if self.name in TAKEN_NAMES:
            raise ValueError(f"the name {self.name} is reserved; choose another one")
        return self


class ControlSettings(Section):
    """The control API, for supervisors (``/v1``, see ``docs/supervisor.md``)."""

    host: str = "127.0.0.1"
    """Address to listen on. Tokens are not encrypted: for other machines put a proxy with TLS in front."""
    port: Port = 9094
    """TCP port. 0 takes any free port."""
    tokens: tuple[TokenSettings, ...] = ()
    """The users of the API. The ``ariagent`` commands on the same machine need no entry: at each start the service
    writes a token for them to ``control.json`` in ``state_directory``. Only the service's user can read that file."""

    trusted_proxies: tuple[Network, ...] = ()
    """Addresses or networks of reverse proxies. If a request comes from one of them, the client is the address in
    ``X-Forwarded-For``: wrong tokens slow down only that client, and the log has its address. List only your own
    proxies, because a client at such an address can pretend to be any other."""

    @model_validator(mode="after")
    def _names_are_one_persons(self) -> Self:
        names = [token.name for token in self.tokens]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two tokens have the name {twice[0]}")
        return self
