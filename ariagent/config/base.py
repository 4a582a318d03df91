"""The basis of every section of the settings: strict reading, texts of a form, addresses, paths."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ariagent.config.secrets import Reading, anchored
from ariagent.values import languages


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Form:
    """An annotation: text that matches ``pattern``. ``must`` is the error for other text, with an example."""

    pattern: str
    must: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), "pattern": self.pattern}

    def _check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.must)
        return text


def _url_with(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError("is not a URL: what is in [ ] is not an IPv6 address") from None
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        # The URL is shown in logs and errors. A password with a slash in it makes everything before that the host.
        if parts.username is not None or "@" in parts.path:
            raise ValueError("must not hold credentials; use the section's own keys for them")
        try:
            _ = parts.port
        except ValueError:
            # The text in place of the port may be a password: it is not shown.
            raise ValueError("has a port that is not a number from 1 to 65535") from None
        return url

    return AfterValidator(check)


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        try:
            whole = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError("must be a network, as 10.0.0.0/8, or an address, as 10.0.0.5") from None
        raise ValueError(f"is an address inside a network; write {whole} for the network") from None
    return text


def _local_path(path: Path, info: ValidationInfo) -> Path:
    folder = Reading.of(info).folder
    if folder is None and path.parts[:1] != ("~",):
        return path  # this section was made in code
    return anchored(path, folder, unusable=lambda problem, remedy: ValueError(f"{problem}. {remedy}"))


def _quoted(value: object) -> object:
    # YAML has read 0047 as the number 39, +49 as 49 and no as false: the original text is lost.
    if isinstance(value, bool | int | float):
        raise ValueError("must be text: put it in quotes")
    return value


def _language(code: object) -> str:
    if code is False:
        raise ValueError('must be text: YAML reads no as false; write "no" in quotes, or nb')
    if not isinstance(code, str) or not re.fullmatch(_LANGUAGE, code):
        raise ValueError("must be a language code, as en or pt-BR")
    return code


def _transcription_language(code: object) -> str:
    if code is False:
        raise ValueError('must be text: YAML reads no as false; write "no" in quotes')
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", code):
        raise ValueError("must be a language code, as en or pt")
    return languages.transcribed(code)


_LANGUAGE = r"^[a-z]{2,3}(-[A-Z]{2})?$"

HttpUrl = Annotated[str, _url_with("http", "https")]
WebSocketUrl = Annotated[str, _url_with("ws", "wss")]
Port = Annotated[int, Field(ge=0, le=65535)]
Text = Annotated[str, BeforeValidator(_quoted)]
Language = Annotated[str, BeforeValidator(_language), WithJsonSchema({"type": "string", "pattern": _LANGUAGE})]
TranscriptionLanguage = Annotated[
    str, BeforeValidator(_transcription_language), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z]{2,3}"})
]
VariableName = Annotated[
    str,
    Form(
        r"^[A-Za-z_][A-Za-z0-9_]*(\([A-Za-z0-9_,.:/ -]*\))?$",
        "must be the name of a channel variable, as CAMPAIGN, or a function, as CHANNEL(language)",
    ),
]
Network = Annotated[str, AfterValidator(_network)]
LocalPath = Annotated[Path, AfterValidator(_local_path)]
"""A path on this machine. A relative one is relative to the folder of the settings file, never to the current one."""
Seconds = Annotated[float, Field(gt=0, le=3600)]
