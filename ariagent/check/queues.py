"""Checks of the queues: the AI's, the human queue, and those that callers may be transferred to.

They use AMI. Without AMI they use dialplan functions on an existing channel, which show less.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberState
from ariagent.ami.queues import queue_exists
from ariagent.check.ari import Probe
from ariagent.check.dialplan import Dialplan
from ariagent.check.report import INSTALL, Result, Say, failed, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.config import Settings
from ariagent.errors import AmiError, AriError
from ariagent.pool.owner import NO_SEATS_REMEDY, applications
from ariagent.pool.seats import (
    HINT_REMEDY,
    INVALID_REMEDY,
    MEMBER,
    SeatState,
    has_hint,
    seat_context,
    seat_number,
    state_of,
)
from ariagent.text import did_you_mean

NAME, HUMAN, DESTINATIONS = "queues", "human queue", "destinations"
USUAL = "frontline"
"""The AI's queue if the dialplan does not name it."""

_UNWATCHED = (
    "queue members found, but ami is not configured: ariagent cannot pause seats, cannot lift Asterisk's pauses "
    "(autopause), and does not see whether Asterisk can use the seats"
)
_NO_MODULE = "the module app_queue"


# -- with AMI ----------------------------------------------------------------------------------------------------------


async def check_queues(site: Site, say: Say) -> None:
    """The queues of AI seats: the dialplan's, and those of the routes."""

    async def look(client: AmiClient, dialplan: Dialplan) -> None:
        app = site.settings.asterisk.app
        leads_to = await _leads_to(site, client)

        def ours(member: MemberState) -> bool:
            found = leads_to.get(seat_context(member.interface) or "")
            return not found or app in found

        ai_queue = dialplan.ai_queue or USUAL
        named = [ai_queue]
        if not dialplan.leads_to(app):
            # A second service: its queues are those that have seats of its own.
            named = [name for name, members in await _all_members(site) if any(map(ours, _seats_of(members)))]
            ai_queue = named[0] if len(named) == 1 else ""
            if not named:
                say(judge_no_seats(app, leads_to))
        for queue in queues_of(site.settings, named):
            if not await queue_exists(client, queue):
                say(_missing(queue, ai_queue))
                continue
            most = site.settings.max_calls if queue.lower() == ai_queue.lower() else None
            members = [each for each in await _members(site, queue) if ours(each)]
            for result in judge_queue(queue, members, most, serving=site.serving):
                say(result)

    await _look(site, NAME, say, look)


async def check_human_queue(site: Site, say: Say) -> None:
    """The queue of human agents, for callers that the AI cannot help."""

    async def look(client: AmiClient, dialplan: Dialplan) -> None:
        queue = site.settings.human_queue or dialplan.human_queue
        members: list[MemberState] | None = None
        if queue and await queue_exists(client, queue):
            members = await _members(site, queue)
        usable = sum(state_of(member.status) is not SeatState.INVALID for member in members or ())
        say(judge_human_queue(queue, None if members is None else len(members), usable, dialplan.last_resort))

    await _look(site, HUMAN, say, look)


async def check_destinations(site: Site, say: Say) -> None:
    """Whether the queues exist that callers may be transferred to."""

    async def look(client: AmiClient, _: Dialplan) -> None:
        wanted = dict.fromkeys(place.queue for place in site.settings.destinations.values() if place.queue)
        missing = [name for name in wanted if not await queue_exists(client, name)]
        for result in judge_destinations(site.settings, missing, (await site.manager()).queues.names):
            say(result)

    await _look(site, DESTINATIONS, say, look)


async def _look(site: Site, name: str, say: Say, look: Callable[[AmiClient, Dialplan], Awaitable[None]]) -> None:
    try:
        client = (await site.manager()).client
        await look(client, await Dialplan.read(lambda variable: _variable(client, variable)))
    except AmiError as error:
        say(failed(name, str(error), error.remedy))


async def _members(site: Site, queue: str) -> list[MemberState]:
    """The members of a queue that exists. All queues are listed only if this one was loaded since the last list."""
    manager = await site.manager()
    if manager.queues.name_of(queue) is None:
        await manager.client.action_list("QueueStatus")
    return manager.queues.members(queue)


async def _all_members(site: Site) -> list[tuple[str, list[MemberState]]]:
    queues = (await site.manager()).queues
    return [(name, queues.members(name)) for name in queues.names]


async def _leads_to(site: Site, client: AmiClient) -> dict[str, set[str]]:
    """Each context of seats, and the applications that its seats lead to."""
    seats = [seat for _, members in await _all_members(site) for seat in _seats_of(members)]
    numbers = {seat_context(seat.interface) or "": seat_number(seat.interface) or "" for seat in seats}
    return {context: await applications(client, number, context) for context, number in numbers.items()}


def _seats_of(members: Iterable[MemberState]) -> list[MemberState]:
    return [member for member in members if seat_number(member.interface) is not None]


async def _variable(client: AmiClient, name: str) -> str:
    return (await client.action("Getvar", Variable=name)).get("value", "")


# -- without AMI -------------------------------------------------------------------------------------------------------


async def check_on_channel(settings: Settings, probe: Probe, channel_id: str, say: Say) -> None:
    """The queues as dialplan functions show them on an existing channel."""

    async def read(what: str) -> str:
        answer = await probe.ask("GET", f"channels/{channel_id}/variable", variable=what)
        value = answer.body.get("value") if isinstance(answer.body, dict) else None
        return value if answer.status == 200 and isinstance(value, str) else ""

    async def count(queue: str, what: str) -> int:
        found = await read(f"QUEUE_MEMBER({queue},{what})")
        return int(found) if found.isdigit() else 0

    try:
        dialplan = await Dialplan.read(read)
        ai_queue, seats = dialplan.ai_queue or USUAL, 0
        for queue in queues_of(settings, [ai_queue] if dialplan.leads_to(settings.asterisk.app) else []):
            exists = await read(f"QUEUE_EXISTS({queue})")
            if exists not in ("0", "1"):
                say(skipped(NAME, _NO_MODULE))
                say(skipped(HUMAN, _NO_MODULE))
                return
            if exists == "0":
                say(_missing(queue, ai_queue))
                continue
            members = await count(queue, "count")
            seats += members
            most = settings.max_calls if queue.lower() == ai_queue.lower() else None
            say(judge_counts(queue, members, await count(queue, "ready"), most))
        human = settings.human_queue or dialplan.human_queue
        is_there = bool(human) and await read(f"QUEUE_EXISTS({human})") == "1"
        members = await count(human, "count") if is_there else 0
        say(judge_human_queue(human, members if is_there else None, members, dialplan.last_resort))
    except AriError as error:
        say(warning(NAME, f"not read: {error}", error.remedy))
        return
    if seats:
        say(warning("manager", _UNWATCHED, f"{INSTALL}, and add the section ami to the settings"))


# -- results, without I/O ----------------------------------------------------------------------------------------------


def judge_no_seats(app: str, leads_to: Mapping[str, set[str]]) -> Result:
    """No seat leads to ``app``. ``leads_to``: each context of seats, and its applications."""
    others = sorted({other for found in leads_to.values() for other in found})
    found = f"no queue has a seat that leads to the application {app}"
    if others:
        found += f"; the seats of this Asterisk lead to {', '.join(others)}"
    return warning(NAME, found, NO_SEATS_REMEDY)


def queues_of(settings: Settings, ai_queues: Iterable[str]) -> list[str]:
    """The queues of AI seats to check."""
    named = [route.queue for route in settings.routes if route.queue and "*" not in route.queue]
    found: dict[str, str] = {}
    for name in (*ai_queues, *named):
        found.setdefault(name.lower(), name)
    return list(found.values())


def judge_counts(queue: str, members: int, ready: int, max_calls: int | None) -> Result:
    """The result for a queue if only its counts are known. ``max_calls``: only for the AI's queue."""
    if not members:
        return _nobody(queue)
    if not ready:
        found = f"none of the {members} members of {queue} can take a call now"
        return warning(NAME, found, f"`asterisk -rx 'queue show {queue}'` shows each member's state")
    return _too_many(queue, members, max_calls) or ok(
        NAME, f"{queue} has {members} members, {ready} can take a call now"
    )


def judge_queue(
    queue: str, members: Sequence[MemberState], max_calls: int | None, *, serving: bool = True
) -> list[Result]:
    """The results for a queue's members. ``max_calls``: only for the AI's queue. ``serving``: the AI should take calls
    now."""
    if not members:
        return [_nobody(queue)]
    results = []
    seats = [(number, each) for each in members if (number := seat_number(each.interface)) is not None]
    if invalid := [number for number, each in seats if state_of(each.status) is SeatState.INVALID and has_hint(each)]:
        found = f"{_seats(invalid)} of {queue} invalid: Asterisk finds no hint for them, and they get no calls"
        results.append(failed(NAME, found, INVALID_REMEDY))
    if bare := [number for number, each in seats if not has_hint(each)]:
        found = f"{_seats(bare)} of {queue} without a hint: the queue cannot see whether the AI takes calls"
        results.append(failed(NAME, found, HINT_REMEDY))
    paused = Counter(each.reason or "no reason" for each in members if each.paused)
    told = ", ".join(f"{count} for {reason}" for reason, count in sorted(paused.items()))
    if paused.total() == len(members):
        remedy = "`ariagent resume` ends the pauses of the AI's seats"
        results.append(warning(NAME, f"all {len(members)} members of {queue} are paused ({told})", remedy))
        return results
    states = Counter(state_of(each.status) for each in members)
    if seats and all(state_of(each.status) is SeatState.UNAVAILABLE for _, each in seats):
        found = f"{queue}: all {len(seats)} seats are unavailable, because the AI takes no calls"
        remedy = "Start the service. If it is running, see seats in /healthz for the reason"
        idle = ok(NAME, f"{queue} has {len(seats)} seats; they take calls when the service does")
        results.append(warning(NAME, found, remedy) if serving else idle)
    elif not (invalid or bare):
        away = states[SeatState.UNAVAILABLE] + states[SeatState.INVALID]
        found = f"{queue} has {len(members)} members: {states[SeatState.BUSY]} in calls, {away} unavailable, "
        found += f"{paused.total()} paused" + (f" ({told})" if paused else "")
        usable = len(seats) - sum(each.paused for _, each in seats)
        results.append(_too_many(queue, usable, max_calls) or ok(NAME, found))
    return results


def judge_human_queue(queue: str, members: int | None, usable: int, last_resort: str) -> Result:
    """``members``: None if the queue does not exist. ``usable``: how many of them Asterisk can ring."""
    resort = "or name a last resort: `ariagent install --last-resort CONTEXT,EXTENSION,PRIORITY --apply`"
    if usable:
        return ok(HUMAN, f"{queue} has {members} member{'' if members == 1 else 's'}")
    if not queue:
        found = "no human queue is set"
        remedy = f"Name one: `ariagent install --human-queue NAME --apply`, {resort}"
    elif members is None:
        found = f"there is no queue {queue}"
        remedy = "Create it, or name another: `ariagent install --human-queue NAME --apply`"
    elif not members:
        found = f"{queue} has no members"
        remedy = f"Have human agents log in, {resort}"
    else:
        found = f"Asterisk can ring none of the {members} members of {queue} (Invalid)"
        remedy = f"Correct its members, {resort}"
    if last_resort:
        return warning(HUMAN, f"{found}: callers that the AI cannot help go to the last resort, {last_resort}", remedy)
    return failed(HUMAN, f"{found}: callers that the AI cannot help are turned away", remedy)


def judge_destinations(settings: Settings, missing: Collection[str], queues: Collection[str]) -> list[Result]:
    """``missing``: queues of destinations that Asterisk does not have; ``queues``: all queues that it has."""
    results, there = [], []
    for name, place in settings.destinations.items():
        if place.queue is None:
            continue
        if place.queue not in missing:
            there.append(place.queue)
            continue
        known = f"Asterisk has {', '.join(sorted(queues))}" if queues else "Asterisk has no queues"
        found = f"{name}: there is no queue {place.queue}{did_you_mean(place.queue, queues)}; {known}"
        results.append(failed(DESTINATIONS, found, f"Correct destinations.{name}.queue, or create the queue"))
    if there:
        results.append(ok(DESTINATIONS, f"these queues exist: {', '.join(dict.fromkeys(there))}"))
    return results


def _missing(queue: str, ai_queue: str) -> Result:
    if queue.lower() == ai_queue.lower():
        return warning(NAME, f"there is no queue {queue}", f"{INSTALL}, unless your AI queue has another name")
    return warning(
        NAME, f"a route names the queue {queue}, which does not exist", "Correct routes, or create the queue"
    )


def _nobody(queue: str) -> Result:
    return warning(NAME, f"{queue} has no members", f"Add seats: {MEMBER}")


def _too_many(queue: str, seats: int, max_calls: int | None) -> Result | None:
    if max_calls is None or seats <= max_calls:
        return None
    found = f"{queue} has {seats} seats, but max_calls is {max_calls}: the seats beyond it never get a call"
    return warning(NAME, found, "Raise max_calls, or remove seats")


def _seats(numbers: Sequence[str]) -> str:
    numbers = sorted(numbers)
    shown = ", ".join(numbers[:5]) + (f" .. {numbers[-1]}" if len(numbers) > 5 else "")
    return f"{len(numbers)} seat{'' if len(numbers) == 1 else 's'} ({shown})"
