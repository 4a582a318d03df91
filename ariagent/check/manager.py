"""The manager interface: the login, its rights, and what it tells of queues: the AI's, and those of destinations."""

from collections.abc import Collection

from ariagent.ami.client import AmiClient
from ariagent.ami.queues import queue_exists
from ariagent.check import queues
from ariagent.check.report import Result, Say, failed, ok, skipped, warning
from ariagent.config import AmiSettings, Settings
from ariagent.errors import AmiError
from ariagent.pool.queues import QueueBoard
from ariagent.text import did_you_mean

NAME = "manager"
DESTINATIONS = "destinations"
NEEDED = {"QueuePause": "agent", "BlindTransfer": "call", "Setvar": "call"}
"""Actions that the service uses, and the class of the user that allows each (the others need none)."""
EXCESS = ("Command", "UpdateConfig", "GetConfig", "Originate", "ModuleLoad")
"""Actions of classes that it must not have: who gets hold of its password has the machine."""


async def check_manager(settings: Settings, say: Say) -> None:
    """Say whether the manager interface can be used, and whether the queues of destinations are there."""
    if settings.ami is None:
        return
    board = QueueBoard()
    missing: list[str] = []
    try:
        async with AmiClient(settings.ami, lambda event: board.handle(event, 0.0)).session() as client:
            allowed = await client.action("ListCommands")
            say(judge_rights(settings.ami, client.version, allowed))
            await queues.check_queues(settings, client, say)
            await client.action_list("QueueStatus")
            wanted = dict.fromkeys(place.queue for place in settings.destinations.values() if place.queue)
            missing += [name for name in wanted if not await queue_exists(client, name)]
    except AmiError as error:
        say(failed(NAME, str(error), error.remedy or _LOOK))
        say(skipped(queues.NAME, "the manager interface"))
        if any(place.queue for place in settings.destinations.values()):
            say(skipped(DESTINATIONS, "the manager interface"))
        return
    for result in judge_destinations(settings, missing, board.names):
        say(result)


_LOOK = "Look at manager.conf and at Asterisk's log"


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


def judge_destinations(settings: Settings, missing: Collection[str], queues: Collection[str]) -> list[Result]:
    """``missing``: those of the destinations' queues that Asterisk does not have; ``queues``: what it has. No I/O."""
    results, there = [], []
    for name, place in settings.destinations.items():
        if place.queue is None:
            continue
        if place.queue not in missing:
            there.append(place.queue)
            continue
        known = f"there are {', '.join(sorted(queues))}" if queues else "there is none at all"
        found = f"{name}: there is no queue {place.queue}{did_you_mean(place.queue, queues)}; {known}"
        results.append(failed(DESTINATIONS, found, f"Correct destinations.{name}.queue, or make the queue"))
    if there:
        results.append(ok(DESTINATIONS, f"queues {', '.join(dict.fromkeys(there))}: there"))
    return results
