"""Asks a running service's API, for the commands."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ariagent import config, configfile
from ariagent.control import localfile
from ariagent.errors import AriagentError, ConfigurationError, why

URL_NAME, TOKEN_NAME = "ARIAGENT_API_URL", "ARIAGENT_API_TOKEN"
LIMIT_S = 10.0


class ServiceError(AriagentError):
    """The service cannot be asked, or does not do what it was asked for."""

    def __init__(self, cause: str, *, remedy: str = "", error: str = "") -> None:
        super().__init__(cause, remedy=remedy)
        self.error = error
        """The API's word for it; empty: nobody answered."""


@dataclass(frozen=True, slots=True)
class Client:
    """One service's API."""

    access: localfile.Access

    @classmethod
    def find(cls, configuration: Path | None, environment: Mapping[str, str] | None = None) -> "Client":
        """Find the service by ``ARIAGENT_API_URL`` and ``ARIAGENT_API_TOKEN``, or by the file that the service of these
        settings wrote.

        Raises ServiceError when none runs here, ConfigurationError when the settings do not load.
        """
        environment = os.environ if environment is None else environment
        if (named := cls._named(environment)) is not None:
            return named
        return cls.of_settings(configfile.load(configuration), environment)

    @classmethod
    def _named(cls, environment: Mapping[str, str]) -> "Client | None":
        url, token = environment.get(URL_NAME, "").strip(), environment.get(TOKEN_NAME, "").strip()
        if url and not token:
            remedy = f"Set {TOKEN_NAME} to a token of its control.tokens"
            raise ConfigurationError(f"{URL_NAME} is set, but there is no token for it", remedy=remedy)
        return cls(localfile.Access(url.rstrip("/").removesuffix("/v1"), token)) if url else None

    @classmethod
    def of_settings(cls, settings: config.Settings, environment: Mapping[str, str]) -> "Client":
        """Find the service of settings that are loaded already; see ``find``."""
        if (named := cls._named(environment)) is not None:
            return named
        if token := environment.get(TOKEN_NAME, "").strip():
            control = settings.control
            return cls(localfile.Access(localfile.url_of(control.host, control.port), token))
        return cls.of_state(settings.state_directory)

    @classmethod
    def of_state(cls, directory: Path) -> "Client":
        """Find the service by the file that it wrote in this ``state_directory``. Raises ServiceError."""
        try:
            access = localfile.read(directory)
        except PermissionError:
            raise ServiceError(
                f"{directory / localfile.FILE} may not be read",
                remedy=f"Run this as the service's user or as root, or set {TOKEN_NAME} to a token of control.tokens",
            ) from None
        except OSError as error:
            raise ServiceError(f"{directory / localfile.FILE} cannot be read: {why(error)}") from None
        if access is None:
            remedy = f"Start it (ariagent run), or set {URL_NAME} and {TOKEN_NAME} where it runs on another machine"
            raise ServiceError("the service does not run", remedy=remedy)
        return cls(access)

    def get(self, path: str) -> dict[str, Any]:
        """``path`` below ``/v1``. Raises ServiceError, ConfigurationError."""
        return self._ask(path, None, LIMIT_S)

    def post(self, path: str, body: Mapping[str, object], *, wait_s: float = 0.0) -> dict[str, Any]:
        """Send a POST request; ``wait_s``: how much longer than usual the answer may take."""
        return self._ask(path, json.dumps(body).encode(), LIMIT_S + wait_s)

    def call(self, name: str) -> dict[str, Any]:
        """The one call in progress whose id is ``name``, or begins or ends with it. Raises ServiceError."""
        calls = self.get("calls")["calls"]
        exact = [call for call in calls if call["id"] == name]
        found = exact or [call for call in calls if call["id"].startswith(name) or call["id"].endswith(name)]
        if len(found) == 1:
            return dict(found[0])
        if found:
            some = ", ".join(call["id"] for call in found[:5]) + (", ..." if len(found) > 5 else "")
            raise ServiceError(f"{name!r} matches several calls: {some}", remedy="Give more characters of the id")
        raise ServiceError(f"no active call {name!r}", remedy="`ariagent calls` lists the active calls")

    def _ask(self, path: str, body: bytes | None, limit_s: float) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.access.token}", "Content-Type": "application/json"}
        try:
            request = urllib.request.Request(f"{self.access.url}/v1/{path}", data=body, headers=headers)
            # The service is here or named by its address: a proxy for the web is none for it.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=limit_s) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except (urllib.error.URLError, OSError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            told = why(reason) if isinstance(reason, BaseException) else str(reason)
            raise ServiceError(
                f"the service does not answer at {self.access.url}: {told}",
                remedy="Check whether it runs, and read its log",
            ) from None
        except ValueError as error:
            raise ConfigurationError(f"{self.access.url} is not the address of a service: {error}") from None
        if not isinstance(found, dict):
            raise ServiceError(f"{self.access.url} does not belong to an ariagent service")
        return found


def _refused(answer: urllib.error.HTTPError) -> AriagentError:
    try:
        told = json.load(answer)
        reason, remedy, word = str(told["reason"]), str(told.get("remedy", "")), str(told["error"])
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return ServiceError(f"the service answers with HTTP status {answer.code}")
    if answer.code == 422:
        return ConfigurationError(reason, remedy=remedy)
    return ServiceError(reason, remedy=remedy, error=word)


def escaped(part: str) -> str:
    """A call's id as a part of a path."""
    return quote(part, safe="")
