"""The tool calls of one conversation that have no result yet, and the prompts that a waiting caller hears. CORE.

Times are monotonic seconds.
"""

from ariagent.realtime.events import ToolCall

PROMPT_AFTER_S, PROMPT_AGAIN_S = 1.0, 4.0
"""Time until a caller who waits for a tool hears a prompt, and until the next one, so that nobody takes the line for
dead."""


class OpenToolCalls:
    """The open tool calls by response: when all calls of one response are answered, the model is asked once to
    continue."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, ToolCall, float]] = {}  # call id -> response, call, since
        self._needs_response: dict[int, bool] = {}  # response -> the model has something to say about its results
        self._responses = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, calls: tuple[ToolCall, ...], now: float) -> None:
        """The model called these in one response."""
        self._responses += 1
        self._needs_response[self._responses] = False
        for call in calls:
            self._open[call.call_id] = (self._responses, call, now)

    def since(self, call_id: str) -> float | None:
        """When the call was made; None: it has been answered."""
        return self._open[call_id][2] if call_id in self._open else None

    def name(self, call_id: str) -> str:
        """The function's name; empty: the call has been answered."""
        return self._open[call_id][1].name if call_id in self._open else ""

    def answered(self, call_id: str, *, needs_response: bool = True) -> bool | None:
        """Returns True if the model must be asked for a response now; None for a call that was answered before."""
        if call_id not in self._open:
            return None
        response, *_ = self._open.pop(call_id)
        self._needs_response[response] |= needs_response
        if any(response == other for other, *_ in self._open.values()):
            return False
        return self._needs_response.pop(response)


class WaitingPrompts:
    """The prompts of a caller who waits, and their times. However much they wait for, it is one after another."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[str, float, float]] = {}  # key -> prompt, when due, and how long until again
        self._not_before = float("-inf")  # the next prompt is not due before this time

    def begin(
        self, key: str, prompt: str, now: float, after_s: float = PROMPT_AFTER_S, again_s: float = PROMPT_AGAIN_S
    ) -> None:
        """The caller waits for ``key``. ``prompt``: ``tone``, or a phrase's text; empty: nothing is heard."""
        if prompt:
            self._waits[key] = (prompt, now + after_s, again_s)

    def end(self, key: str) -> None:
        """The caller waits for that no longer."""
        self._waits.pop(key, None)
        if not self._waits:
            self._not_before = float("-inf")

    def next_deadline(self) -> float | None:
        """The time of the next ``due``; None: nothing is due."""
        first = min((due for _, due, _ in self._waits.values()), default=None)
        return None if first is None else max(first, self._not_before)

    def due(self, now: float) -> str:
        """The prompt that is to be heard now; empty: none. Others that are due have their turn after it."""
        first = min(self._waits, key=lambda key: self._waits[key][1], default=None)
        if first is None or now < max(self._waits[first][1], self._not_before):
            return ""
        prompt, _, again_s = self._waits[first]
        self._not_before = now + again_s
        self._waits[first] = (prompt, self._not_before, again_s)
        return prompt
