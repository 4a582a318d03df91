"""What every section of the settings is made of: strict reading, secrets, addresses."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _resolve_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if reference := re.fullmatch(r"\$\{(\w+)\}", text):
        value = os.environ.get(reference[1])
        if value is None:
            raise ValueError(f"the environment variable {reference[1]} is not set")
        return SecretStr(value)
    if text.startswith("file:"):
        path = Path(text.removeprefix("file:"))
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read the secret's file {path}: {error}") from None
        if not lines or not lines[0].strip():
            raise ValueError(f"the secret's file {path} is empty")
        return SecretStr(lines[0].strip())
    return secret


def _url_with(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        # The URL is shown in logs and errors. A password with a slash in it makes everything before that the host.
        if parts.username is not None or "@" in parts.path:
            raise ValueError("must not hold credentials; there are keys of their own for them")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has a port that cannot be") from None  # what stands there may be a password
        return url

    return AfterValidator(check)


def _network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


def _quoted(value: object) -> object:
    # YAML has read 0047 as the number 39, +49 as 49 and no as false: what was written cannot be told any more.
    if isinstance(value, bool | int | float):
        raise ValueError("must be text: put what is written here in quotes")
    return value


def _language(code: object) -> str:
    if code is False:
        raise ValueError('must be text: YAML reads no as false, write "no" in quotes (or nb)')
    if not isinstance(code, str) or not re.fullmatch(_LANGUAGE, code):
        raise ValueError(f"{code} is no language code; they look like en or pt-BR")
    return code


_LANGUAGE = r"^[a-z]{2,3}(-[A-Z]{2})?$"

Secret = Annotated[SecretStr, AfterValidator(_resolve_secret)]
HttpUrl = Annotated[str, _url_with("http", "https")]
WebSocketUrl = Annotated[str, _url_with("ws", "wss")]
Port = Annotated[int, Field(ge=0, le=65535)]
Text = Annotated[str, BeforeValidator(_quoted)]
Language = Annotated[str, BeforeValidator(_language), WithJsonSchema({"type": "string", "pattern": _LANGUAGE})]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\([A-Za-z0-9_,.:/ -]*\))?$")]
Network = Annotated[str, AfterValidator(_network)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
