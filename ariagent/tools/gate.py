"""Where the tools of all calls wait for their turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ariagent.tools.turns import Turn, Turns
from ariagent.values.outcome import Kind, ToolFailure

_REMEDY = "Nothing was sent. Tell the caller that it takes longer than usual, and try again in a moment"


class Gate:
    """One for the service."""

    def __init__(self, per_place: int) -> None:
        self._turns = Turns(per_place)
        self._waiting: dict[Turn, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def turn(self, call: str, place: str, limit_s: float) -> AsyncIterator[None]:
        """The turn of a tool. Raises ToolFailure (busy) where it does not come within ``limit_s``."""
        turn = self._turns.ask(call, place)
        if turn is None:
            raise ToolFailure(Kind.BUSY, "too many functions of this call are waiting", remedy=_REMEDY)
        here = self._waiting[turn] = asyncio.get_running_loop().create_future()
        try:
            self._let_in()
            if not turn.runs:
                await asyncio.wait((here,), timeout=limit_s)
            if not turn.runs:
                busy = f"too many others are under way, for more than {limit_s:g} s"
                raise ToolFailure(Kind.BUSY, busy, remedy=_REMEDY)
            yield
        finally:
            self._waiting.pop(turn, None)
            self._turns.leave(turn)
            self._let_in()

    def _let_in(self) -> None:
        while (turn := self._turns.next()) is not None:
            here = self._waiting.pop(turn)
            if not here.done():
                here.set_result(None)
