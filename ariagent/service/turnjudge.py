"""The end-of-turn judge of the service: loaded when an agent needs it, and kept until the service ends."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from ariagent.config import Settings
from ariagent.errors import ConfigurationError
from ariagent.turns import modelfile
from ariagent.turns.judge import Judge, Judging
from ariagent.turns.worker import JudgeWorker

log = logging.getLogger(__name__)


class TurnJudge:
    """``open_judge`` loads the model from its file; it raises ConfigurationError."""

    def __init__(self, open_judge: Callable[[Path], Judging] = Judge.open) -> None:
        self._open_judge = open_judge
        self._worker: JudgeWorker | None = None

    async def of(self, settings: Settings) -> JudgeWorker | None:
        """The judge for these settings. None: no agent has ``turns: fast``, or the judge is not installed, which is
        logged. Loads the model in a thread, as that takes a moment."""
        if not any(agent.turns == "fast" for agent in settings.agents.values()):
            return None
        if self._worker is None:
            try:
                judge = await asyncio.to_thread(self._open_judge, modelfile.folder() / modelfile.MODEL.name)
            except ConfigurationError as error:
                log.warning("turn.no_judge", extra={"fields": {"cause": error.line}})
                return None
            if self._worker is None:  # at a reload another request may have loaded it meanwhile
                self._worker = JudgeWorker(judge)
        return self._worker

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of judgements by outcome."""
        return {} if self._worker is None else {str(outcome): n for outcome, n in self._worker.counts.items()}

    def close(self) -> None:
        """End the judge's thread."""
        if self._worker is not None:
            self._worker.close()
