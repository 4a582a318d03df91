"""The queues: whether they exist, and who answers them. Asked through the manager interface, where there is one."""

from collections import Counter
from collections.abc import Sequence

from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberState
from ariagent.ami.queues import queue_exists, read_members
from ariagent.check.ari import Probe
from ariagent.check.report import Result, Say, failed, ok, skipped, warning
from ariagent.config import Settings
from ariagent.errors import AriError
from ariagent.pool.seats import HINT_REMEDY, INVALID_REMEDY, MEMBER, SeatState, has_hint, seat_number, state_of

NAME = "queues"
SHIPPED = "frontline"
"""The agents' queue in the shipped dialplan."""
INCLUDE = "Add #include asterisk/queues.conf to queues.conf, then `asterisk -rx 'queue reload all'`"

_UNWATCHED = (
    "there are seats, but no section ami: they cannot be paused by hand or with a reason that reports show, and nobody "
    "looks whether Asterisk can use them"
)


def queues_of(settings: Settings) -> list[str]:
    """The queues of AI seats that are looked at: the shipped one and those of the routes."""
    named = [route.queue for route in settings.routes if route.queue and "*" not in route.queue]
    return list(dict.fromkeys([SHIPPED, *named]))


async def check_queues(settings: Settings, client: AmiClient, say: Say) -> None:
    """Say what the queues of AI seats look like. Raises AmiError."""
    for queue in queues_of(settings):
        if not await queue_exists(client, queue):
            say(_missing(queue))
            continue
        for result in judge_queue(queue, await read_members(client, queue), settings.max_calls):
            say(result)


async def check_queues_without_manager(settings: Settings, probe: Probe, channel_id: str, say: Say) -> None:
    """The same, as far as functions of the dialplan tell it, read on a channel that is there."""
    seats = False
    for queue in queues_of(settings):
        try:
            exists = await _read(probe, channel_id, f"QUEUE_EXISTS({queue})")
            if exists is None:
                say(skipped(NAME, "the module app_queue"))
                return
            if exists != "1":
                say(_missing(queue))
                continue
            counts = [await _read(probe, channel_id, f"QUEUE_MEMBER({queue},{what})") for what in ("count", "ready")]
            members, ready = (int(count) if count and count.isdigit() else 0 for count in counts)
        except AriError as error:
            say(warning(NAME, f"not read: {error}", error.remedy))
            return
        say(judge_counts(queue, members, ready, settings.max_calls))
        seats = seats or members > 0
    if seats:
        say(warning("manager", _UNWATCHED, "Include asterisk/manager.conf, and add the section ami"))


async def _read(probe: Probe, channel_id: str, function: str) -> str | None:
    answer = await probe.ask("GET", f"channels/{channel_id}/variable", variable=function)
    value = answer.body.get("value") if isinstance(answer.body, dict) else None
    return value if answer.status == 200 and isinstance(value, str) else None


def _missing(queue: str) -> Result:
    if queue == SHIPPED:
        return warning(NAME, f"there is no queue {queue}", f"{INCLUDE}, unless yours has another name")
    return warning(NAME, f"there is no queue {queue}, which a route names", "Correct routes, or make the queue")


def judge_counts(queue: str, members: int, ready: int, max_calls: int) -> Result:
    """What can be said of a queue without its members. No I/O."""
    if not members:
        return _nobody(queue)
    if not ready:
        found = f"none of the {members} members of {queue} can take a call now"
        return warning(
            NAME, found, f"`asterisk -rx 'queue show {queue}'` says why: paused, unavailable, invalid, in use"
        )
    return _too_many(queue, members, max_calls) or ok(
        NAME, f"{queue} has {members} members, {ready} can take a call now"
    )


def judge_queue(queue: str, members: Sequence[MemberState], max_calls: int) -> list[Result]:
    """What a queue's members say. No I/O."""
    if not members:
        return [_nobody(queue)]
    results = []
    seats = [(number, each) for each in members if (number := seat_number(each.interface)) is not None]
    if invalid := [number for number, each in seats if state_of(each.status) is SeatState.INVALID and has_hint(each)]:
        found = f"{_seats(invalid)} of {queue} invalid: Asterisk finds no hint for them, and they get no calls"
        results.append(failed(NAME, found, INVALID_REMEDY))
    if bare := [number for number, each in seats if not has_hint(each)]:
        found = f"{_seats(bare)} of {queue} without a hint: the queue does not see whether the AI takes calls"
        results.append(failed(NAME, found, HINT_REMEDY))
    paused = Counter(each.reason or "no reason" for each in members if each.paused)
    told = ", ".join(f"{count} for {reason}" for reason, count in sorted(paused.items()))
    if paused.total() == len(members):
        remedy = "`ariagent resume` (the AI's seats), or `queue unpause member` in Asterisk's console"
        results.append(warning(NAME, f"all {len(members)} members of {queue} are paused ({told})", remedy))
        return results
    states = Counter(state_of(each.status) for each in members)
    if seats and all(state_of(each.status) is SeatState.UNAVAILABLE for _, each in seats):
        found = f"{queue}: all {len(seats)} seats are unavailable, for the AI takes no calls"
        remedy = "Start the service; if it runs, /healthz has the reason under seats"
        results.append(warning(NAME, found, remedy))
    elif not (invalid or bare):
        away = states[SeatState.UNAVAILABLE] + states[SeatState.INVALID]
        found = f"{queue} has {len(members)} members: {states[SeatState.BUSY]} in calls, {away} unavailable, "
        found += f"{paused.total()} paused" + (f" ({told})" if paused else "")
        usable = len(seats) - sum(each.paused for _, each in seats)
        results.append(_too_many(queue, usable, max_calls) or ok(NAME, found))
    return results


def _nobody(queue: str) -> Result:
    return warning(NAME, f"{queue} has no members", f"Add seats: {MEMBER}")


def _too_many(queue: str, seats: int, max_calls: int) -> Result | None:
    if queue != SHIPPED or seats <= max_calls:
        return None
    found = f"{queue} has {seats} seats that take calls, max_calls is {max_calls}"
    return warning(NAME, found, "Raise max_calls, or take seats out: those beyond it never get a call")


def _seats(numbers: Sequence[str]) -> str:
    numbers = sorted(numbers)
    shown = ", ".join(numbers[:5]) + (f" .. {numbers[-1]}" if len(numbers) > 5 else "")
    return f"{len(numbers)} seat{'' if len(numbers) == 1 else 's'} ({shown})"
