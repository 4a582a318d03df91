"""Tools of a held answer that run before the caller hears it: only those that are safe to repeat. CORE."""

from dataclasses import dataclass

from ariagent.realtime.events import ToolCall


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a site's tool."""

    output: str
    """JSON text."""
    ok: bool
    kind: str
    seconds: float


class EarlyTools:
    """The early tools of one call. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._results: dict[str, ToolResult] = {}
        self._unwanted: set[str] = set()
        """Calls of discarded answers, which still run."""

    def __len__(self) -> int:
        return len(self._began)

    def start(self, call: ToolCall, now: float) -> None:
        """The tool runs from now on."""
        self._began[call.call_id] = now

    def ended(self, call_id: str, output: str, *, ok: bool, kind: str, now: float) -> bool:
        """Whether this result is not to be told: it is kept for the release, or nobody wants it."""
        if call_id in self._unwanted:
            self._unwanted.discard(call_id)
            return True
        if call_id not in self._began:
            return False
        self._results[call_id] = ToolResult(output, ok, kind, now - self._began[call_id])
        return True

    def runs(self, call_id: str) -> bool:
        """Whether this tool was started."""
        return call_id in self._began

    def take(self, call_id: str) -> ToolResult | None:
        """The answer is released: the result of this tool. None: it still runs, or was not started."""
        self._began.pop(call_id, None)
        return self._results.pop(call_id, None)

    def discard(self) -> None:
        """Nobody wants the results of these tools."""
        self._unwanted |= self._began.keys() - self._results.keys()
        self._began.clear()
        self._results.clear()
