"""Runs the function calls of one call's model, and sees that each is answered once."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ariagent.call.context import Role
from ariagent.realtime.events import ToolCall
from ariagent.tools.outcome import Outcome
from ariagent.tools.toolbox import Toolbox

SIGN_AFTER_S = 1.0
SIGN_AGAIN_S = 4.0
"""The tone is repeated, so that nobody takes the line for dead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A function call is over."""

    call: ToolCall
    outcome: Outcome
    seconds: float


class Belt:
    """The site's tools in one call. ``on_answer`` gets each result, ``on_wait`` a sign that is to be given."""

    def __init__(
        self,
        toolbox: Toolbox,
        role: Role,
        on_answer: Callable[[Answer], None],
        on_wait: Callable[[str], None],
    ) -> None:
        self._toolbox = toolbox
        self._role = role
        self._on_answer = on_answer
        self._on_wait = on_wait
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, role: Role) -> None:
        """From now on the calls are for this caller."""
        self._role = role

    def start(self, call: ToolCall) -> None:
        """Run a function call of a completed response; its answer follows."""
        task = asyncio.ensure_future(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: ToolCall) -> None:
        began = time.monotonic()
        running = asyncio.ensure_future(self._toolbox.run(self._role.name, call, self._role.facts))
        try:
            pause = SIGN_AFTER_S
            while not (await asyncio.wait((running,), timeout=pause))[0]:
                if sign := self._toolbox.sign(call.name):
                    self._on_wait(sign)
                pause = SIGN_AGAIN_S
        finally:
            running.cancel()
        self._on_answer(Answer(call, running.result(), time.monotonic() - began))

    async def close(self) -> None:
        """Give up what still runs."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # Lets go of who holds it: a call and its audio should not have to wait for the collector of cycles.
        self._on_answer = self._on_wait = _ignore


def _ignore(_: object) -> None:
    pass


class Pending:
    """The function calls of the model that are not answered yet, by response: all of one are answered, then the model
    is asked once to go on."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}  # call id -> batch
        self._wants: dict[int, bool] = {}  # batch -> the model is to go on
        self._batches = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, calls: tuple[ToolCall, ...]) -> None:
        self._batches += 1
        self._wants[self._batches] = False
        for call in calls:
            self._open[call.call_id] = self._batches

    def answered(self, call_id: str, *, goes_on: bool = True) -> bool | None:
        """Returns whether the model is to be asked now to go on; None for a call that was answered before."""
        batch = self._open.pop(call_id, None)
        if batch is None:
            return None
        self._wants[batch] |= goes_on
        return batch not in self._open.values() and self._wants.pop(batch)


def described(call: ToolCall) -> dict[str, Any]:
    """A call for the record."""
    return {"tool": call.name[:64], "id": call.call_id, "arguments": call.arguments}
