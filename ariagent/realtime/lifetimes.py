"""CORE: which models a site uses, and when the model's server is going to shut them down.

OpenAI's list of models (``GET /v1/models``) has an optional ``shutdown_date`` for each, YYYY-MM-DD or null (source:
developers.openai.com, API reference "List models" and the page "Deprecations"). There is no table of dates here: one
would be wrong as soon as OpenAI moves a date, and never held for another server's model of the same name.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.hours import parse_date

SOON_DAYS = 90
"""A shutdown within so many days is worth a warning: OpenAI announces one 180 days ahead, of some models 90."""
DAY_S = 86_400
_EPOCH_DAY = 719_163
"""1970-01-01 as ``date.toordinal()``."""
MOST_MODELS = 10_000
"""Entries of a list that are looked at."""


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model that calls need."""

    name: str
    agents: tuple[str, ...]
    """The agents that use the model."""
    transcribes: bool = False
    """The model transcribes callers' speech."""

    @property
    def what(self) -> str:
        """The model and its agents in words: ``model gpt-realtime of agents sales, support``."""
        kind = "transcription model" if self.transcribes else "model"
        return f"{kind} {self.name} of agent{'s' if len(self.agents) > 1 else ''} {', '.join(self.agents)}"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """A used model's announced end."""

    model: UsedModel
    date: str
    """YYYY-MM-DD, of the server's calendar; taken as UTC."""
    at: float
    """The beginning of that day, in seconds since the epoch."""

    def days_left(self, now: float) -> int:
        """Whole days until it; negative when it is past."""
        return int((self.at - now) // DAY_S)


def models_url(realtime_url: str) -> str | None:
    """Where the list of models is, beside the sessions: ``https://HOST/v1/models`` for ``wss://HOST/v1/realtime``.

    None where it is not known: another path, or Azure, whose sessions name a deployment and no model.
    """
    parts = urlsplit(realtime_url)
    base, found, rest = parts.path.rstrip("/").rpartition("/realtime")
    if not found or rest or (parts.hostname or "").endswith(".azure.com"):
        return None
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, f"{base}/models", "", ""))


def used_models(agents: Mapping[str, AgentSettings], realtime: RealtimeSettings) -> Iterator[UsedModel]:
    """The models of this endpoint that the agents need, each once."""
    users: dict[tuple[str, bool], list[str]] = {}
    for name, agent in agents.items():
        users.setdefault((realtime.model_of(agent.model), False), []).append(name)
        if agent.transcription is not None:
            users.setdefault((agent.transcription.model, True), []).append(name)
    for (model, transcribes), names in users.items():
        yield UsedModel(model, tuple(names), transcribes)


def shutdown_dates(body: bytes) -> dict[str, str | None]:
    """The models of a list by name, with their dates as the server writes them; None: none is announced.

    Empty where the body is no such list, or where no entry has the field: another server's.
    """
    try:
        listed: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    entries = listed.get("data") if isinstance(listed, dict) else None
    found: dict[str, str | None] = {}
    told = False
    for entry in entries[:MOST_MODELS] if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            date = entry.get("shutdown_date")
            found[entry["id"]] = date if isinstance(date, str) else None
            told = told or "shutdown_date" in entry
    return found if told else {}


def shutdowns(used: Iterator[UsedModel], dates: Mapping[str, str | None]) -> list[Shutdown]:
    """The used models whose end is announced, the first to end first. A date that cannot be read is none."""
    found = []
    for model in used:
        date = dates.get(model.name) or ""
        if (at := _beginning(date)) is not None:
            found.append(Shutdown(model, date, at))
    return sorted(found, key=lambda shutdown: (shutdown.at, shutdown.model.name))


def _beginning(date: str) -> float | None:
    """The beginning of a day in UTC, in seconds since the epoch."""
    try:
        day = parse_date(date)
    except ValueError:
        return None
    return None if isinstance(day, tuple) else float((day.toordinal() - _EPOCH_DAY) * DAY_S)
