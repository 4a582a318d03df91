"""Reads channel variables and functions of a call that the site asks for, in instructions, lookups and routes.

None of them is worth a call: a value that Asterisk cannot give counts as not set, and is logged once.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from ariagent.agents.choose import DIALLED, EXTENSION, QUEUE
from ariagent.ari.client import AriClient, NotFoundError, RefusedError
from ariagent.errors import AriError
from ariagent.logs import CallLog
from ariagent.pool.owner import APP
from ariagent.records.events import VariableNotRead
from ariagent.reminder import Reminder

CALLER = "ARIAGENT_CALLER"
"""The shipped dialplan sets it on a queue's caller: the name of the caller's channel. Seats inherit it."""
HUMAN_QUEUE = "ARIAGENT_HUMAN_QUEUE"
"""The call's human queue, else the global variable: the dialplan's."""
PEER = "BRIDGEPEER"
"""Asterisk's: the names of the channels that a channel is bridged with."""
WAYS_BACK = (APP, QUEUE, EXTENSION, DIALLED, HUMAN_QUEUE)
"""By these a caller whom nobody takes gets to the human queue, or comes back to the AI. Seats inherit them."""
LIMIT_S = 2.0
"""How long all of a call's variables may take together."""


async def given(ari: AriClient, channel_id: str, names: Iterable[str]) -> dict[str, str]:
    """Variables that ariagent's own work needs; those that are set. Raises AriError."""
    wanted = tuple(names)
    values = await asyncio.gather(*(ari.get_variable(channel_id, name) for name in wanted))
    return {name: value for name, value in zip(wanted, values, strict=True) if value}


class SiteVariables:
    """Reads what the site asks for. One object serves all calls: it remembers what it has logged."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._reminder = Reminder()

    async def read(self, ari: AriClient, channels: Sequence[str], names: Iterable[str], log: CallLog) -> dict[str, str]:
        """Return the values of the variables that have one. Never raises AriError.

        ``channels``: ids or names of channels; the first one that has a value counts.
        """
        found: dict[str, str] = {}
        causes: dict[str, str] = {}
        tasks = {
            name: asyncio.ensure_future(self._one(ari, channels, name, found, causes)) for name in dict.fromkeys(names)
        }
        if not tasks:
            return found
        try:
            _, late = await asyncio.wait(tasks.values(), timeout=self._limit_s)
        finally:
            for task in tasks.values():
                task.cancel()
            # A task that failed by an internal error is to be seen; a cancelled one is not.
            results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        causes |= {name: f"not read within {self._limit_s:g} s" for name, task in tasks.items() if task in late}
        self._tell({name: cause for name, cause in causes.items() if name not in found}, log)
        return found

    async def _one(
        self, ari: AriClient, channels: Sequence[str], name: str, found: dict[str, str], causes: dict[str, str]
    ) -> None:
        for channel in channels:
            try:
                value = await ari.get_variable(channel, name)
            except NotFoundError:
                pass  # the channel is gone
            except RefusedError as error:
                # A function that Asterisk does not have, does not let ARI read, or that needs another kind of channel.
                causes[name] = error.line
            except AriError as error:
                causes[name] = error.line
                return
            else:
                if value:
                    found[name] = value
                    return

    def _tell(self, causes: Mapping[str, str], log: CallLog) -> None:
        now = asyncio.get_running_loop().time()
        for name, cause in causes.items():
            if self._reminder.due(name, now):
                log.tell(VariableNotRead(name, cause))
