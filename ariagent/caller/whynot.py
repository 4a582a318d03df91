"""Why the AI did not take a call: from the dialplan's steps, the AI seats in their queue, and the service's health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import aiohttp

from ariagent import ownsocket
from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberState, MemberStatus
from ariagent.ami.queues import read_members
from ariagent.caller.answerer import Answerer
from ariagent.config import Settings
from ariagent.errors import AmiError
from ariagent.healthpage import health_at
from ariagent.hosts import joined, local
from ariagent.pool.seats import AUTO_PAUSE, seat_number
from ariagent.service.health import NOT_TRIED

HEALTH_LIMIT_S = 3.0
_REASONS = {
    "": "no reason given",
    AUTO_PAUSE: f"{AUTO_PAUSE}: by Asterisk, because no service took a call there",
}
"""Reasons of pauses that need an explanation."""
_PARTS = ("model", "audio")
"""Parts whose faults ``/healthz`` describes in words."""


async def causes(settings: Settings, answerer: Answerer) -> list[str]:
    """All known causes, the nearest first; empty: nothing is known."""
    found = list(answerer.why_not)
    if not found and not answerer.ai_queue:
        return ["the dialplan does not send this number to the AI"]
    if answerer.ai_queue and settings.ami is not None and (seats := await _seats(settings, answerer.ai_queue)):
        found = [seats]
    if settings.http.port:
        health = await _health(settings)
        silent = [f"the service does not answer at {_address(settings)}"]
        found += silent if health is None else told_by_health(health)
    return found


async def _seats(settings: Settings, queue: str) -> str:
    """Why no seat in ``queue`` takes a call; empty if some would, or if it is not known."""
    assert settings.ami is not None
    try:
        async with AmiClient(settings.ami).session() as client:
            return told_by_seats(queue, await read_members(client, queue))
    except AmiError:
        return ""


def told_by_seats(queue: str, members: Sequence[MemberState]) -> str:
    """Why no seat of ``queue`` takes a call; empty if some would. No I/O."""
    seats = [member for member in members if seat_number(member.interface) is not None]
    if not seats:
        return f"queue {queue} has no AI seats"
    invalid = sum(seat.status is MemberStatus.INVALID for seat in seats)
    closed = sum(seat.status is MemberStatus.UNAVAILABLE and not seat.paused for seat in seats)
    stopped = [seat for seat in seats if seat.paused and seat.status is not MemberStatus.INVALID]
    paused = Counter(_REASONS.get(seat.reason, seat.reason) for seat in stopped)
    if paused.total() + invalid + closed < len(seats):
        return ""
    reasons = ", ".join(reason for reason, _ in paused.most_common())
    kinds = (
        (invalid, "Invalid: Asterisk has no context ariagent-seat for them"),
        (closed, "Unavailable: the service does not take calls"),
        (paused.total(), f"paused ({reasons})"),
    )
    found = [(count, text) for count, text in kinds if count]
    if len(found) == 1:
        return f"all {len(seats)} seats of queue {queue} are {found[0][1]}"
    listed = "; ".join(f"{count} {text}" for count, text in found)
    return f"no seat of queue {queue} takes a call: {listed}"


async def _health(settings: Settings) -> Mapping[str, object] | None:
    """The service's ``/healthz``; None if it does not answer. In the service's own words if this is its user."""
    if isinstance(health := await ownsocket.health(settings.state_directory), dict):
        return health
    try:
        found = await health_at(_address(settings), HEALTH_LIMIT_S)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return found if isinstance(found, Mapping) else None


def _address(settings: Settings) -> str:
    return f"http://{joined(local(settings.http.host), settings.http.port)}/healthz"


def told_by_health(health: Mapping[str, object]) -> list[str]:
    """Find what is wrong according to the service's ``/healthz``. No I/O."""
    found = []
    if health.get("draining") is True:
        found.append("the service is draining: it takes no new calls")
    elif health.get("asterisk") not in (None, "connected"):
        cause = str(health["asterisk"]).partition(": ")[2]
        found.append("the service is not connected to Asterisk" + (f": {cause}" if cause else ""))
    for part in _PARTS:
        state = health.get(part)
        if isinstance(state, str) and state not in ("ok", "", NOT_TRIED):
            found.append(f"{part}: {state}")
    seats = health.get("seats")
    closed = isinstance(seats, Mapping) and seats.get("open") is False
    reason = seats.get("reason") if isinstance(seats, Mapping) and closed else None
    # A reason that is one of the parts, or draining, is described above.
    if isinstance(reason, str) and not found:
        found.append(f"the AI's seats take no calls: {reason}")
    return found
