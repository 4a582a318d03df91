"""Reading queues by their names, in whatever letter case, also those of a database that Asterisk has not loaded yet."""

from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberState, parse
from ariagent.errors import AmiError


async def queue_exists(client: AmiClient, name: str) -> bool:
    """Whether Asterisk has a queue of this name, in any letter case. Raises AmiError.

    Source: app_queue.c, QUEUE_EXISTS, which loads a realtime queue to look.
    """
    if not name or not name.isprintable() or any(mark in name for mark in "()"):
        return False  # no name of a queue, and it would end the function's argument
    answer = await client.action("Getvar", Variable=f"QUEUE_EXISTS({name})")
    found = answer.get("value", "")
    if found not in ("0", "1"):
        raise AmiError("Asterisk does not list its queues", remedy="Run `ariagent install`, which loads app_queue.so")
    return found == "1"


async def read_members(client: AmiClient, name: str) -> list[MemberState]:
    """The members of one queue, in any letter case; none where there is no such queue. Raises AmiError.

    All queues are asked for: whoever follows this connection's events takes the end of a list for the end of them all.
    """
    found: list[MemberState] = []
    for message in await client.action_list("QueueStatus"):
        try:
            event = parse(message, listed=True)
        except (KeyError, ValueError, OverflowError):
            continue
        if isinstance(event, MemberState) and event.queue.lower() == name.lower():
            found.append(event)
    return found
