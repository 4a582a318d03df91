"""What every section of the settings is made of: strict reading, secrets, addresses."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


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
        if parts.username is not None:
            # The URL is shown in logs and errors.
            raise ValueError("must not hold credentials; there are keys of their own for them")
        _ = parts.port  # raises for one that cannot be
        return url

    return AfterValidator(check)


def _network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


Secret = Annotated[SecretStr, AfterValidator(_resolve_secret)]
HttpUrl = Annotated[str, _url_with("http", "https")]
WebSocketUrl = Annotated[str, _url_with("ws", "wss")]
Port = Annotated[int, Field(ge=0, le=65535)]
Network = Annotated[str, AfterValidator(_network)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
