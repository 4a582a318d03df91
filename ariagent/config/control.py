"""Who may see and steer calls from outside."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from ariagent.config.base import Form, Port, Section
from ariagent.config.secrets import Secret, judged

SHORTEST_TOKEN = 16
"""Characters. What is shorter can be guessed, however much guessing is slowed down."""
TAKEN_NAMES = ("model", "caller", "local")
"""Who else may ask for a transfer, and the token that the service makes for its own machine."""


def _too_short(token: str) -> str | None:
    return None if len(token) >= SHORTEST_TOKEN else f"the token is too short: {SHORTEST_TOKEN} characters at least"


class TokenSettings(Section):
    """One who may use the control API. Give ``sha256`` or ``token``."""

    name: Annotated[
        str,
        Form(
            r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$",
            "must be a name of letters, digits and _ . @ -, at most 64 of them, as anna or anna@example.com",
        ),
    ]
    """Stands in logs and records beside what was done with it."""
    role: Literal["viewer", "supervisor", "admin"]
    """``viewer`` sees, ``supervisor`` also moves calls, whispers and pauses seats, ``admin`` may do everything."""
    sha256: (
        Annotated[
            str, Form(r"^[0-9a-fA-F]{64}$", "must be 64 hexadecimal digits, as printf %s TOKEN | sha256sum prints them")
        ]
        | None
    ) = None
    """Of the token: ``printf %s TOKEN | sha256sum``."""
    token: Annotated[Secret, judged(_too_short)] | None = None
    """The token itself (secret), 16 characters at least; as ``${NAME}`` or ``file:PATH`` it need not stand here."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.sha256 is None) == (self.token is None):
            raise ValueError("needs sha256 or token, and not both")
        if self.name in TAKEN_NAMES:
            raise ValueError(f"the name {self.name} means somebody else; choose another one")
        return self


class ControlSettings(Section):
    """Where calls can be seen and steered from outside (``/v1``, see ``docs/supervisor.md``)."""

    host: str = "127.0.0.1"
    """Address to listen on. Tokens travel in the clear: for other machines put a proxy with TLS in front."""
    port: Port = 9094
    """0 takes any free port."""
    tokens: tuple[TokenSettings, ...] = ()
    """Who may. The commands of ``ariagent`` on the same machine need none: the service makes one for itself at each
    start, in ``control.json`` of ``state_directory``, which only its own user can read."""

    @model_validator(mode="after")
    def _names_are_one_persons(self) -> Self:
        names = [token.name for token in self.tokens]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two tokens have the name {twice[0]}")
        return self
