"""What the manager interface says about a queue that need not be in its lists: a realtime one, or one not used yet."""

import re

from ariagent.ami.client import AmiClient

_NAME = re.compile(r"[A-Za-z0-9_.+@-]{1,80}")
"""What a queue can be called. Everything else could be an expression of the dialplan's."""


async def queue_exists(ami: AmiClient, name: str) -> bool:
    """Whether Asterisk has a queue of this name, in any letter case.

    Source: app_queue.c, QUEUE_EXISTS, which loads a realtime queue to look. Raises AmiError.
    """
    if not _NAME.fullmatch(name):
        return False
    answer = await ami.action("Getvar", Variable=f"QUEUE_EXISTS({name})")
    return answer.get("value") == "1"
