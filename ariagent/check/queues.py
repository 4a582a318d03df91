"""The queues: whether they exist, and who answers them. Functions of the dialplan, read on a channel that is there."""

from ariagent.check.ari import Probe
from ariagent.check.report import INSTALL, Result, Say, ok, skipped, warning
from ariagent.config import Settings
from ariagent.errors import AriError

SHIPPED = "frontline"
"""The agents' queue in the shipped dialplan."""

_UNWATCHED = (
    "there are seats, but no section ami: nobody pauses them when the service cannot take calls, or lifts Asterisk's "
    "own pauses (autopause in queues.conf)"
)


async def check_queues(settings: Settings, probe: Probe, channel_id: str, say: Say) -> None:
    """Say what the shipped queue and those of the routes look like."""
    named = [route.queue for route in settings.routes if route.queue and "*" not in route.queue]
    unwatched = False
    for queue in dict.fromkeys([SHIPPED, *named]):
        try:
            exists = await _read(probe, channel_id, f"QUEUE_EXISTS({queue})")
            if exists is None:
                say(skipped("queues", "the module app_queue"))
                return
            if exists != "1":
                say(_missing(queue))
                continue
            counts = [await _read(probe, channel_id, f"QUEUE_MEMBER({queue},{what})") for what in ("count", "paused")]
            members, paused = (int(count) if count and count.isdigit() else 0 for count in counts)
        except AriError as error:
            say(warning("queues", f"not read: {error}", error.remedy))
            return
        say(judge_queue(queue, members, paused, settings.max_calls))
        unwatched = unwatched or (members > 0 and settings.ami is None)
    if unwatched:
        say(warning("manager", _UNWATCHED, f"{INSTALL}, and add the section ami to the settings"))


async def _read(probe: Probe, channel_id: str, function: str) -> str | None:
    answer = await probe.ask("GET", f"channels/{channel_id}/variable", variable=function)
    value = answer.body.get("value") if isinstance(answer.body, dict) else None
    return value if answer.status == 200 and isinstance(value, str) else None


def _missing(queue: str) -> Result:
    if queue == SHIPPED:
        return warning("queues", f"there is no queue {queue}", f"{INSTALL}, unless your queue has another name")
    return warning("queues", f"there is no queue {queue}, which a route names", "Correct routes, or make the queue")


def judge_queue(queue: str, members: int, paused: int, max_calls: int) -> Result:
    """What a queue's members say. No I/O."""
    if not members:
        return warning("queues", f"{queue} has no members", "Add seats: member => Local/01@ariagent-seat/nm,0,AI Agent")
    if paused >= members:
        return warning("queues", f"all {members} members of {queue} are paused", "Resume them: `ariagent resume`")
    found = f"{queue} has {members} members, {paused} of them paused"
    if queue == SHIPPED and members - paused > max_calls:
        remedy = f"Raise max_calls ({max_calls}), or take seats out; a seat that is refused costs a caller 2 s"
        return warning("queues", found, remedy)
    return ok("queues", found)
