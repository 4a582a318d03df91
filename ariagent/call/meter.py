"""What one call uses of the model: counted at once, told now and then."""

import time
from dataclasses import replace

from ariagent.call.context import Context, Role
from ariagent.logs import CallLog
from ariagent.realtime.events import Usage

TOLD_EVERY_S = 15.0


class Meter:
    """Of one call, whose agent is ``role`` and whose model is called ``model``."""

    def __init__(self, context: Context, role: Role, model: str, log: CallLog) -> None:
        self._spending = context.spending
        self._agent = role.name
        self._model = model
        self._log = log
        self._used, self._transcribed_s = Usage(), 0.0
        self._free = False
        """The model that is used now bills nobody: what it transcribes is free, too."""
        self._due = time.monotonic() + TOLD_EVERY_S

    def used(self, usage: Usage, transcribed_s: float = 0.0) -> None:
        """Count what a turn used: tokens, and seconds of transcribed speech."""
        self._free = usage.free if usage.tokens else self._free
        self._used += usage
        self._transcribed_s += transcribed_s
        if time.monotonic() >= self._due:
            self.tell()

    def tell(self) -> None:
        """Enter what was counted since the last time into the records and the day's spending."""
        usage, transcribed_s = self._used, self._transcribed_s
        self._used, self._transcribed_s = Usage(), 0.0
        self._due = time.monotonic() + TOLD_EVERY_S
        if usage.tokens or transcribed_s:
            model = replace(usage, free=self._free if not usage.tokens else usage.free).billed_as(self._model)
            money = self._spending.used(self._agent, model, usage, transcribed_s)
            self._log.note("usage", model=model, cost=money, transcribed_s=transcribed_s, **usage.tokens)
