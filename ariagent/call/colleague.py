"""A leg of our own that finds somebody for the caller, while the caller goes on talking with the agent (warm hand-off).

    ours (;1, enters Stasis when somebody answers) -- Local -- (;2) waits in the people's queue, or rings an extension

The human agent who answers hears the summary on this leg. Then the caller is bridged with ;1, and ariagent drops out.
"""

import asyncio
import secrets
from contextlib import suppress

from ariagent.ari import events as ari
from ariagent.ari.client import AriClient, NotFoundError
from ariagent.dialogue.handoff import Handoff
from ariagent.errors import AriError

LATE_S = 10.0
"""Longer than the dialplan should take to give up by itself."""
STATUS = "SHARED(ARIAGENT_WARM)"
"""Variable of the caller's channel: how waiting in the queue ended (QUEUESTATUS)."""


class Colleague:
    """One attempt to find somebody. ``close`` gives everything back, whatever became of it."""

    def __init__(self, client: AriClient, handoff: Handoff) -> None:
        self.handoff = handoff
        own = secrets.token_hex(8)
        self.channel = f"ariagent-warm-{own}"
        self.queue_call = f"warm-{own}"
        """The id that queue_log has for this leg; short, for databases often have 32 characters for it."""
        self.name = ""
        """Of the channel, once somebody has answered."""
        self.gone = False
        self.briefed: bool | None = None
        """Whether Asterisk could play them the summary; None: that was not tried."""
        self.joined = False
        """The caller is joined with it: it is not ours to hang up any more."""
        self._ari = client
        self._news: asyncio.Queue[str] = asyncio.Queue()
        self._made = False

    def on_ari(self, event: ari.Event) -> None:
        """An event of the leg's channel."""
        match event:
            case ari.StasisStarted():
                self.name = event.channel.name
                self._news.put_nowait("answered")
            case ari.PlaybackEnded(failed=failed):
                self.briefed = not failed
                self._news.put_nowait("played")
            case ari.StasisEnded() | ari.ChannelDestroyed():
                self.gone = True
                self._news.put_nowait("gone")

    async def call(self, caller: str, leg: str, leg_name: str, variables: dict[str, str]) -> str:
        """Call somebody on behalf of the channel ``leg``; returns "" when they have answered, else why nobody did.

        ``caller`` is shown to them: ``"Name" <number>``. Raises AriError.
        """
        destination = self.handoff.destination
        endpoint = f"Local/{destination.queue}@ariagent-warm/n"
        if destination.queue is None:
            endpoint = f"Local/{destination.extension}@{destination.context}/n"
        inherited = {f"__{name.lstrip('_')}": value for name, value in variables.items()}
        self._made = True
        await self._ari.originate(
            self.channel,
            endpoint=endpoint,
            caller_id=caller,
            timeout_s=destination.timeout_s,
            originator=leg,
            other_id=self.queue_call,
            variables={**inherited, "__ARIAGENT_LEG": leg_name},
        )
        try:
            async with asyncio.timeout(destination.timeout_s + LATE_S):
                if await self._news.get() == "answered":
                    return ""
        except TimeoutError:
            return "TIMEOUT"
        return await self._status(leg)

    async def _status(self, leg: str) -> str:
        if self.handoff.destination.queue is None:
            return "NOANSWER"
        try:
            return await self._ari.get_variable(leg, STATUS) or "NOANSWER"
        except AriError:
            return "NOANSWER"

    async def brief(self, path: str, limit_s: float) -> bool:
        """Play the summary to them; False when they hung up meanwhile."""
        try:
            await self._ari.play(self.channel, f"{self.channel}-brief", path)
        except AriError:
            if self._news.empty():
                self.briefed = False
            return self._news.empty()
        try:
            async with asyncio.timeout(limit_s):
                return await self._news.get() == "played"
        except TimeoutError:
            return True

    async def close(self) -> None:
        """Hang the leg up, unless the caller has it."""
        if self.joined or not self._made:
            return
        self._made = False
        with suppress(NotFoundError):
            await self._ari.hang_up(self.channel)
