"""CORE: secrets of the settings that cannot be had.

They are no reason to refuse a command that does without them. So such a secret remembers what is wrong with it and
where, and whoever asks for its value gets that as an error. ``demand`` asks for all of them at once.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

from pydantic import BaseModel, SecretStr

from ariagent.errors import ConfigurationError, told
from ariagent.yamlfile import KeyPath


class SecretError(ConfigurationError):
    """A secret is needed that cannot be had. ``key`` names it, as ``realtime.api_key``."""

    def __init__(self, cause: str, *, remedy: str, key: str) -> None:
        super().__init__(cause, remedy=remedy)
        self.key = key


class LostSecret(SecretStr):
    """A secret that cannot be had: asking for its value raises SecretError."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("")
        self.problem = problem
        self.remedy = remedy
        self.place = ""
        """``file:line`` or the environment's variable, once known."""
        self.key = ""

    @property
    def error(self) -> SecretError:
        """What is wrong, where, and what to do."""
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
    """Whether no secret is given. One that cannot be had is given."""
    return not isinstance(secret, LostSecret) and not secret.get_secret_value().strip()


def known_value(secret: SecretStr) -> str:
    """Its value; nothing for one that cannot be had."""
    return "" if isinstance(secret, LostSecret) else secret.get_secret_value()


def within(found: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, SecretStr | BaseModel]]:
    """Every secret and every section in settings, a section before what is in it; each with its key path."""
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
    """The secrets that cannot be had."""
    return [found for _, found in within(settings) if isinstance(found, LostSecret)]


def locate(settings: BaseModel, place: Callable[[KeyPath], str], key: Callable[[KeyPath], str]) -> None:
    """Tell each lost secret where it stands."""
    for path, found in within(settings):
        if isinstance(found, LostSecret):
            found.place, found.key = place(path), key(path)


def demand(settings: BaseModel) -> None:
    """Raises ConfigurationError that names every secret that cannot be had, one a line."""
    if lines := [told(str(each.error), each.error.remedy) for each in lost(settings)]:
        raise ConfigurationError("\n".join(lines))
