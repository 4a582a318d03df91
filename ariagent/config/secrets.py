"""Secrets of the settings: ``${NAME}``, ``file:PATH`` or the text itself.

A secret that cannot be read, or does not look like one, becomes a ``LostSecret``.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, SecretStr, ValidationInfo

from ariagent.errors import why
from ariagent.secret import LostSecret

MOST_BYTES = 64 * 1024
"""Largest file of a secret that is read. An RSA-4096 key has 3 KiB."""
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""systemd sets it in a unit with ``LoadCredential=``."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The environment and the folder for reading settings: pydantic's validation context."""

    environment: Mapping[str, str]
    """``${NAME}`` is looked up here."""
    folder: Path | None = None
    """The folder of the settings file, which relative paths are relative to. None: relative paths are refused."""

    @classmethod
    def of(cls, info: ValidationInfo) -> "Reading":
        """The context of a validation. For sections made in code: this process's environment, and no folder."""
        return info.context if isinstance(info.context, cls) else cls(os.environ)


class _UnusableError(ValueError):
    """The mistake in a secret, and what to do. The text never contains the secret."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.remedy = remedy


def _resolved(secret: SecretStr, info: ValidationInfo) -> SecretStr:
    text = secret.get_secret_value()
    reading = Reading.of(info)
    try:
        if reference := re.fullmatch(r"\$\{(\w+)\}", text):
            return SecretStr(_variable(reference[1], reading.environment))
        if text.startswith("file:"):
            return SecretStr(_first_line(_path(text.removeprefix("file:").strip(), reading)))
        _refuse_what_is_no_secret(text, reading.folder)
    except _UnusableError as error:
        return LostSecret(str(error), error.remedy)
    return secret


def _variable(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name)
    if value is None:
        remedy = "Set it for this command (for the service: EnvironmentFile= in its unit), or write file:PATH"
        raise _UnusableError(f"the environment variable {name} is not set", remedy)
    if not value.strip():
        raise _UnusableError(f"the environment variable {name} is empty", "Set it, or write file:PATH")
    return value


def _path(text: str, reading: Reading) -> Path:
    """The path behind ``file:``, with ``${NAME}`` filled in."""

    def fill_in(match: re.Match[str]) -> str:
        name = match[1]
        if name == CREDENTIALS and name not in reading.environment:
            raise _UnusableError(
                f"the path has ${{{CREDENTIALS}}}, which systemd sets only inside a unit with LoadCredential=",
                "By hand, run the command as a unit: systemd-run --pty --wait --collect -p User=ariagent "
                "-p LoadCredential=NAME:/path/of/the/secret COMMAND; or write file: with a path you can read",
            )
        return _variable(name, reading.environment)

    filled = re.sub(r"\$\{(\w+)\}", fill_in, text)
    if "$" in re.sub(r"\$\{\w+\}", "", text):
        raise _UnusableError("the path after file: has a $", "Write a variable of the environment as ${NAME}")
    return anchored(Path(filled), reading.folder, unusable=_UnusableError)


def anchored(path: Path, folder: Path | None, *, unusable: Callable[[str, str], ValueError]) -> Path:
    """A path of the settings, absolute. Raises ``unusable(cause, remedy)``."""
    if not path.parts:
        raise unusable("is empty", "Write the absolute path")
    if path.parts[0].startswith("~"):
        raise unusable("begins with ~, which is another folder for each user", "Write the absolute path")
    if path.is_absolute():
        return path
    if folder is None:
        raise unusable("is a relative path", "Write the absolute path")
    return folder / path


def secret_file(text: str, folder: Path) -> Path | None:
    """The file that a secret is read from; None for a secret that is written otherwise, or a path with variables."""
    path = text.removeprefix("file:").strip()
    if not text.startswith("file:") or not path or "$" in path:
        return None
    return folder / path


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES)
    except OSError as error:
        remedy = "Correct the path, or let this user read the file"
        raise _UnusableError(f"cannot read the secret's file {path}: {why(error)}", remedy) from None
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        raise _UnusableError(
            f"cannot read the secret's file {path}: it is not text", "Put the secret on its first line"
        ) from None
    if not lines or not lines[0].strip():
        raise _UnusableError(f"the secret's file {path} is empty", "Put the secret on its first line")
    return lines[0].strip()


_ELSEWHERE = re.compile(
    r"""\$[A-Z_][A-Z0-9_]+ | \{\$\w+\} | .*\$\{.*\}.* | \$\(.*\) | \{\{.*\}\} | %\w+% | %\(\w+\)s
    | (?i:env(ironment)?[:.]\w+ | \$?env(iron)?[\[({].*[\])}] | os\.environ.* | !?env\ \w+ | file\b\W?.*/.*)""",
    re.VERBOSE | re.DOTALL,
)
"""References to a secret as other programs write them."""
_PLACEHOLDER = re.compile(
    r"<.*> | \[.*\] | \*{3,} | \.{3,}"
    r"| (?i:x{3,} | change.?(me|it|this).* | your.*(key|token|password|secret).* | todo | tbd | placeholder"
    r" | (sk|key).?(\.{3,} | x{3,}).*)",
    re.VERBOSE | re.DOTALL,
)
"""Placeholders for a secret in examples."""
_PATH = re.compile(r"(~[\w-]*|\.{1,2})?(/[\w.@+-]+)+")


def _refuse_what_is_no_secret(text: str, folder: Path | None) -> None:
    """Raises _UnusableError for a text that names a secret in a form that ariagent does not read. A real secret that
    looks like this can be given in a file or in the environment: those are not checked."""
    is_itself = "If it is the secret itself, put it in a file and write file:PATH"
    if _ELSEWHERE.fullmatch(text):
        raise _UnusableError(
            "looks like a reference that ariagent does not know, not like a secret",
            "Write ${NAME} for a variable of the environment or file:PATH for a file, and nothing else. " + is_itself,
        )
    if _PLACEHOLDER.fullmatch(text):
        raise _UnusableError("is an example's placeholder, not a secret", f"Put the secret there. {is_itself}")
    named = folder is not None and text.strip() != "" and os.path.isfile(folder / text)
    if named or (_PATH.fullmatch(text) and text.count("/") > (0 if text.startswith(("~", ".")) else 1)):
        raise _UnusableError("looks like the path of a file, not like a secret", f"Did you mean file:PATH? {is_itself}")


def judged(problem: Callable[[str], str | None]) -> AfterValidator:
    """A check of a secret's value. ``problem`` returns what is wrong with it, without the value itself."""

    def judge(secret: SecretStr) -> SecretStr:
        if isinstance(secret, LostSecret):
            return secret
        found = problem(secret.get_secret_value())
        return secret if found is None else LostSecret(found)

    return AfterValidator(judge)


Secret = Annotated[SecretStr, AfterValidator(_resolved), PlainSerializer(str, return_type=str, when_used="json")]
