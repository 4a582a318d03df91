"""The spoken summary of one call, for who takes it over: asked for, awaited, put into a file."""

import asyncio
from pathlib import Path

from ariagent.audio.rates import ModelCodec
from ariagent.call.announcement import Briefs
from ariagent.dialogue.handoff import Handoff, brief_request
from ariagent.realtime.events import AsideEnded
from ariagent.realtime.session import RealtimeSession


class Summary:
    """Made when the hand-off begins; ``path`` is known at once, the file is there when ``written`` is over."""

    def __init__(self, briefs: Briefs, session: RealtimeSession, codec: ModelCodec, wanted: Handoff, language: str):
        """``language``: of the people. ``codec`` must be used for nothing else."""
        self.path = briefs.new_name()
        self._key = Path(self.path).name
        """What the model's server knows it by: not where it will be."""
        self._briefs = briefs
        self._codec = codec
        self._lasts_s = wanted.destination.timeout_s
        self._spoken: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._writing: asyncio.Task[bool] | None = None
        instructions, alone = brief_request(wanted, language)
        session.say_aside(self._key, instructions, alone=alone)

    def spoken(self, what: AsideEnded) -> None:
        """The model has said something aside; perhaps this."""
        if what.key == self._key and not self._spoken.done():
            self._spoken.set_result(what.audio)
            if what.audio:
                pcm = self._codec.from_model(what.audio) + self._codec.end_item()
                self._writing = asyncio.ensure_future(self._briefs.put(self.path, pcm, self._lasts_s))

    @property
    def outlook(self) -> str:
        """Whether there is one: ``yes``, ``no``, or ``late`` while the model has not said it yet."""
        if not self._spoken.done():
            return "late"
        return "yes" if self._spoken.result() else "no"

    def give_up(self) -> None:
        """The model is gone: nothing will come any more."""
        if not self._spoken.done():
            self._spoken.set_result(b"")

    async def written(self, limit_s: float) -> bool:
        """Wait until the file is there; False when it will not be, or not within ``limit_s``."""
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.shield(self._spoken)
                return self._writing is not None and await asyncio.shield(self._writing)
        except TimeoutError:
            return False
