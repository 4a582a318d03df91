"""CORE: what the API offers: one table, from which the server and its OpenAPI document are made."""

from dataclasses import dataclass

from pydantic import BaseModel

from ariagent.control import shapes
from ariagent.control.auth import Role

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for."""

    method: str
    path: str
    name: str
    """Of the handler, and the document's operationId."""
    summary: str
    role: Role | None = Role.VIEWER
    """The least that may; None: everybody."""
    body: type[BaseModel] | None = None
    answers: type[BaseModel] | None = None
    """With 200 (None: see ``media``)."""
    accepted: bool = False
    """Also with 202, when it is under way."""
    refusals: tuple[int, ...] = ()
    """Statuses of its own, beside those that all have."""
    media: str = "application/json"


ROUTES = (
    Route("GET", "/v1/calls", "calls", "The calls that go on.", answers=shapes.CallsAnswer),
    Route("GET", "/v1/calls/{id}", "call", "One of them.", answers=shapes.CallAnswer, refusals=(404,)),
    Route(
        "POST",
        "/v1/calls/{id}/transfer",
        "transfer",
        "Put a caller through to people, after the sentence that the agent is saying.",
        Role.SUPERVISOR,
        body=shapes.TransferBody,
        answers=shapes.TransferAnswer,
        accepted=True,
        refusals=(404, 409, 502, 503),
    ),
    Route(
        "POST",
        "/v1/calls/{id}/whisper",
        "whisper",
        "Tell the model something that the caller does not hear.",
        Role.SUPERVISOR,
        body=shapes.WhisperBody,
        answers=shapes.WhisperAnswer,
        refusals=(404, 409),
    ),
    Route(
        "GET", "/v1/queues", "queues", "Asterisk's queues, and the site's destinations.", answers=shapes.QueuesAnswer
    ),
    Route("GET", "/v1/seats", "seats", "The AI's seats in the queues.", answers=shapes.SeatsAnswer),
    Route(
        "POST",
        "/v1/seats/pause",
        "pause",
        "Have a seat, or all, take no more calls. Calls that go on do so.",
        Role.SUPERVISOR,
        body=shapes.SeatsBody,
        answers=shapes.PausedAnswer,
        refusals=(404, 503),
    ),
    Route(
        "POST",
        "/v1/seats/resume",
        "resume",
        "Have a seat, or all, take calls again.",
        Role.SUPERVISOR,
        body=shapes.SeatsBody,
        answers=shapes.PausedAnswer,
        refusals=(404, 503),
    ),
    Route(
        "POST",
        "/v1/drain",
        "drain",
        "Have the service take no new calls, and end when those that go on have ended, as SIGTERM does. Calls that are "
        "left after a time go to people, or on with the next process.",
        Role.ADMIN,
        body=shapes.DrainBody,
        answers=shapes.DrainAnswer,
    ),
    Route(
        "GET",
        "/v1/events",
        "events",
        "Live state as server-sent events: first a `snapshot` (calls, queues, seats), then `call` (a CallAnswer, "
        "whenever it changes), `ended` (id, result, reason), `queues` (a QueuesAnswer) and `seats` (a SeatsAnswer), "
        "with a comment every 15 s. Who reads too slowly is cut off; connect again for a new snapshot.",
        refusals=(503,),
        media=EVENT_STREAM,
    ),
    Route("GET", "/v1/openapi.json", "openapi", "This document.", None),
)
