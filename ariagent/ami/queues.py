"""Reading queues by their names, in whatever letter case, also those of a database that Asterisk has not loaded yet."""

from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberState, parse
from ariagent.errors import AmiError


async def queue_exists(client: AmiClient, name: str) -> bool:
    """Whether Asterisk has a queue of this name; it looks into its database, too. Raises AmiError."""
    if not name.isprintable() or any(mark in name for mark in "()"):
        return False  # no name of a queue, and it would end the function's argument
    answer = await client.action("Getvar", Variable=f"QUEUE_EXISTS({name})")
    found = answer.get("value", "")
    if found not in ("0", "1"):
        raise AmiError("Asterisk does not tell which queues there are", remedy="Load app_queue.so")
    return found == "1"


async def read_members(client: AmiClient, name: str) -> list[MemberState]:
    """The members of one queue; none where there is no such queue. Raises AmiError."""
    found: list[MemberState] = []
    for message in await client.action_list("QueueStatus", Queue=name):
        try:
            event = parse(message)
        except (KeyError, ValueError, OverflowError):
            continue
        if isinstance(event, MemberState):
            found.append(event)
    return found
