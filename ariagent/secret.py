"""CORE: secrets of the settings that cannot be read.

A command that does not need them still works. Such a secret remembers its error and its place. Reading its value raises
that error. ``demand`` raises the errors of all secrets at once.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

from pydantic import BaseModel, SecretStr

from ariagent.complaints import KeyPath
from ariagent.errors import ConfigurationError, told


class SecretError(ConfigurationError):
    """A needed secret cannot be read. ``key`` names it, for example ``realtime.api_key``."""

    def __init__(self, cause: str, *, remedy: str, key: str) -> None:
        super().__init__(cause, remedy=remedy)
        self.key = key


class LostSecret(SecretStr):
    """A secret that cannot be read. Reading its value raises SecretError."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("")
        self.problem = problem
        self.remedy = remedy
        self.place = ""
        """``file:line`` or the environment variable, once known."""
        self.key = ""

    @property
    def error(self) -> SecretError:
        """The error: what is wrong, where, and what to do."""
        where = "".join(f"{part}: " for part in (self.place, self.key) if part)
        return SecretError(f"{where}{self.problem}", remedy=self.remedy, key=self.key)

    def get_secret_value(self) -> NoReturn:
        raise self.error

    def __len__(self) -> NoReturn:
        raise self.error

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LostSecret) and (self.problem, self.key) == (other.problem, other.key)

    def __hash__(self) -> int:
        return hash((self.problem, self.key))


def is_empty(secret: SecretStr) -> bool:
    """Whether no secret is given. A secret that cannot be read counts as given."""
    return not isinstance(secret, LostSecret) and not secret.get_secret_value().strip()


def known_value(secret: SecretStr) -> str:
    """The secret's value; "" if it cannot be read."""
    return "" if isinstance(secret, LostSecret) else secret.get_secret_value()


def within(found: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, SecretStr | BaseModel]]:
    """Every secret and every section of the settings with its key path; a section comes before its content."""
    if isinstance(found, SecretStr):
        yield path, found
    elif isinstance(found, BaseModel):
        yield path, found
        for name in type(found).model_fields:
            yield from within(getattr(found, name), (*path, name))
    elif isinstance(found, Mapping):
        for name, each in found.items():
            yield from within(each, (*path, str(name)))
    elif isinstance(found, tuple | list):
        for at, each in enumerate(found):
            yield from within(each, (*path, at))


def lost(settings: BaseModel) -> list[LostSecret]:
    """The secrets that cannot be read."""
    return [found for _, found in within(settings) if isinstance(found, LostSecret)]


def locate(settings: BaseModel, place: Callable[[KeyPath], str], key: Callable[[KeyPath], str]) -> None:
    """Set the place and the key of each lost secret."""
    for path, found in within(settings):
        if isinstance(found, LostSecret):
            found.place, found.key = place(path), key(path)


def demand(settings: BaseModel) -> None:
    """Raises ConfigurationError that names every secret that cannot be read, one a line."""
    if lines := [told(str(each.error), each.error.remedy) for each in lost(settings)]:
        raise ConfigurationError("\n".join(lines))
