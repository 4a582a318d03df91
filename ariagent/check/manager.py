"""The manager interface: the login, its rights, and the queues that destinations name."""

from collections.abc import Collection, Mapping

from ariagent.check.report import INSTALL, Result, Say, failed, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.config import AmiSettings, Settings
from ariagent.errors import AmiError
from ariagent.pool.seats import seat_number
from ariagent.text import did_you_mean

NAME = "manager"
SEATS, DESTINATIONS = "seats", "destinations"
NO_QUEUES = "the module app_queue"
NEEDED = {"QueuePause": "agent", "BlindTransfer": "call", "Setvar": "call"}
"""Actions that the service uses, and the class of the user that allows each (the others need none)."""
EXCESS = ("Command", "UpdateConfig", "GetConfig", "Originate", "ModuleLoad")
"""Actions of classes that it must not have: who gets hold of its password has the machine."""


async def check_manager(site: Site, say: Say) -> None:
    """Whether the manager interface lets us in, and do what the service needs."""
    settings = site.settings.ami
    if settings is None:
        return
    try:
        client = (await site.manager()).client
        allowed = await client.action("ListCommands")
    except AmiError as error:
        say(failed(NAME, str(error), error.remedy or _LOOK))
    else:
        say(judge_rights(settings, client.version, allowed))


_LOOK = "Look at manager.conf and at Asterisk's log"


async def check_seats(site: Site, say: Say) -> None:
    """Whether any queue has seats of the AI."""
    board = (await site.manager()).queues
    if not board.known:
        say(skipped(SEATS, NO_QUEUES))
        return
    say(judge_seats({name: [member.interface for member in board.members(name)] for name in board.names}))


async def check_destinations(site: Site, say: Say) -> None:
    """Whether the queues are there that callers may be put through to."""
    board = (await site.manager()).queues
    if not board.known:
        say(skipped(DESTINATIONS, NO_QUEUES))
        return
    for result in judge_destinations(site.settings, board.names):
        say(result)


def judge_rights(ami: AmiSettings, version: str, allowed: Collection[str]) -> Result:
    """``allowed``: names of actions that the user may ask for, in lower case. No I/O."""
    missing = [name for name in NEEDED if name.lower() not in allowed]
    if missing:
        classes = ", ".join(dict.fromkeys(NEEDED[name] for name in missing))
        found = f"{ami.user} may not ask for {', '.join(missing)}"
        return failed(NAME, found, f"Add {classes} to write= under [{ami.user}] in manager.conf, and reload it")
    excess = [name for name in EXCESS if name.lower() in allowed]
    if excess:
        found = f"{ami.user} may do more than it needs: {', '.join(excess)}"
        return warning(NAME, found, f"Set read and write to agent,call,user under [{ami.user}] in manager.conf")
    return ok(NAME, f"{ami.user} is let in at {ami.host}:{ami.port} (version {version}), may pause seats and transfer")


def judge_seats(members: Mapping[str, Collection[str]]) -> Result:
    """``members``: of each queue, by interface. No I/O."""
    seats = {name: sum(seat_number(each) is not None for each in found) for name, found in members.items()}
    having = {name: count for name, count in seats.items() if count}
    if not having:
        found = "no queue has a seat of the AI: callers reach it only by an extension with Stasis()"
        return warning(SEATS, found, INSTALL)
    return ok(SEATS, ", ".join(f"{count} in queue {name}" for name, count in having.items()))


def judge_destinations(settings: Settings, queues: Collection[str]) -> list[Result]:
    """``queues``: all that there are. No I/O."""
    results, there = [], []
    for name, place in settings.destinations.items():
        if place.queue is None:
            continue
        if place.queue in queues:
            there.append(place.queue)
            continue
        known = f"there are {', '.join(sorted(queues))}" if queues else "there is none at all"
        found = f"{name}: there is no queue {place.queue}{did_you_mean(place.queue, queues)}; {known}"
        results.append(failed(DESTINATIONS, found, f"Correct destinations.{name}.queue, or make the queue"))
    if there:
        results.append(ok(DESTINATIONS, f"queues {', '.join(dict.fromkeys(there))}: there"))
    return results
