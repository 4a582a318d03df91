"""CORE: what the API offers: one table, from which the server and its OpenAPI document are made."""

from dataclasses import dataclass

from pydantic import BaseModel

from ariagent.control import schemas
from ariagent.control.auth import Role

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for."""

    method: str
    path: str
    name: str
    """Name of the handler, and the document's operationId."""
    summary: str
    role: Role | None = Role.VIEWER
    """The least that may; None: everybody."""
    body: type[BaseModel] | None = None
    answers: type[BaseModel] | None = None
    """The body of the answer 200 (None: see ``media``)."""
    accepted: bool = False
    """The answer may also be 202: under way."""
    refusals: tuple[int, ...] = ()
    """Statuses of its own, beside those that all have."""
    media: str = "application/json"


ROUTES = (
    Route("GET", "/v1/calls", "calls", "The running calls.", answers=schemas.CallsAnswer),
    Route("GET", "/v1/calls/{id}", "call", "One running call.", answers=schemas.CallAnswer, refusals=(404,)),
    Route(
        "POST",
        "/v1/calls/{id}/transfer",
        "transfer",
        "Transfer a caller to human agents, after the agent's present sentence.",
        Role.SUPERVISOR,
        body=schemas.TransferBody,
        answers=schemas.TransferAnswer,
        accepted=True,
        refusals=(404, 409, 502, 503),
    ),
    Route(
        "POST",
        "/v1/calls/{id}/whisper",
        "whisper",
        "Give the model a note that the caller does not hear.",
        Role.SUPERVISOR,
        body=schemas.WhisperBody,
        answers=schemas.WhisperAnswer,
        refusals=(404, 409),
    ),
    Route(
        "GET", "/v1/queues", "queues", "Asterisk's queues, and the site's destinations.", answers=schemas.QueuesAnswer
    ),
    Route("GET", "/v1/seats", "seats", "The AI's seats in the queues.", answers=schemas.SeatsAnswer),
    Route(
        "POST",
        "/v1/seats/pause",
        "pause",
        "Pause one seat or all: they take no more calls. Running calls continue.",
        Role.SUPERVISOR,
        body=schemas.SeatsBody,
        answers=schemas.PausedAnswer,
        refusals=(404, 503),
    ),
    Route(
        "POST",
        "/v1/seats/resume",
        "resume",
        "Resume one seat or all: they take calls again.",
        Role.SUPERVISOR,
        body=schemas.SeatsBody,
        answers=schemas.PausedAnswer,
        refusals=(404, 503),
    ),
    Route(
        "POST",
        "/v1/drain",
        "drain",
        "Drain the service, as SIGTERM does: it takes no new calls and ends when the running calls have ended. Calls "
        "that still run after a time go to the human queue, or the next process continues them.",
        Role.ADMIN,
        body=schemas.DrainBody,
        answers=schemas.DrainAnswer,
    ),
    Route(
        "GET",
        "/v1/events",
        "events",
        "Live state as server-sent events: first a `snapshot` (calls, queues, seats), then `call` (a CallAnswer, "
        "whenever it changes), `ended` (id, result, reason), `queues` (a QueuesAnswer) and `seats` (a SeatsAnswer), "
        "with a comment every 15 s. A client that reads too slowly is disconnected; connect again for a new snapshot.",
        refusals=(503,),
        media=EVENT_STREAM,
    ),
    Route("GET", "/v1/openapi.json", "openapi", "This document.", None),
)
