"""Requests for judgements that wait for the one worker. CORE: times in seconds are arguments.

The newest request comes first: its caller has just fallen silent, while an older one has mostly missed its moment. A
request is late if its judgement would not be ready by its deadline; no work is done for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_WEIGHT = 0.2  # of the newest judgement in the usual cost
_FORGIVENESS = 0.9
_BURST_S = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Request:
    """Speech to be judged."""

    pcm: bytes
    rate_hz: int
    deadline: float
    """The time from which an answer is of no use."""


class Waiting:
    """Requests that wait, and the judgement that runs.

    ``most``: how many may wait. ``share``: the share of one core that judgements may use; after a quiet time they may
    use up to a second at once. ``cost_s``: the usual cost of a judgement, until some are measured.
    """

    def __init__(self, *, most: int, share: float, cost_s: float) -> None:
        if most < 1 or not 0 < share <= 1:
            raise ValueError(f"most={most}, share={share}: at least 1 must wait, and the share is between 0 and 1")
        self._most = most
        self._share = share
        self.cost_s = cost_s
        self._requests: list[Request] = []  # the newest last
        self._running: Request | None = None
        self._credit_s = _BURST_S
        self._counted_at: float | None = None

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._requests)

    def add(self, request: Request) -> Request | None:
        """Let a request wait. Returns the oldest if it has no place any more: it is late."""
        self._requests.append(request)
        return self._requests.pop(0) if len(self._requests) > self._most else None

    def cancel(self, request: Request) -> bool:
        """Forget a request. Returns whether it waited; a judgement that runs is not stopped."""
        waited = request in self._requests
        if waited:
            self._requests.remove(request)
        return waited

    def late(self, now: float) -> Iterator[Request]:
        """Take out the requests that cannot be answered in time.

        Each of them lowers the usual cost a little. Otherwise one long standstill of the machine could end all
        judgements, because only a judgement shows that the machine is fast again.
        """
        ready_at = self._begins_at(now) + self.cost_s
        for request in [each for each in self._requests if ready_at > each.deadline]:
            self._requests.remove(request)
            self.cost_s *= _FORGIVENESS
            yield request

    def take(self, now: float) -> Request | None:
        """Begin the newest request, if the worker and a share of the core are free. Call ``late`` before."""
        if self._running is not None or not self._requests or self._begins_at(now) > now:
            return None
        self._running = self._requests.pop()
        return self._running

    def done(self, took_s: float, cpu_s: float, now: float) -> None:
        """A judgement has ended. ``took_s``: its duration; ``cpu_s``: the time of a core that it used."""
        self._running = None
        self._count(now)
        self._credit_s -= cpu_s
        self.cost_s += _WEIGHT * (took_s - self.cost_s)

    def next_at(self, now: float) -> float | None:
        """When the next request may begin, or None if none waits or one runs."""
        return None if self._running is not None or not self._requests else self._begins_at(now)

    def _count(self, now: float) -> None:
        if self._counted_at is not None:
            self._credit_s = min(_BURST_S, self._credit_s + (now - self._counted_at) * self._share)
        self._counted_at = now

    def _begins_at(self, now: float) -> float:
        """The earliest time of the next judgement, as far as the share of the core allows."""
        self._count(now)
        return now if self._credit_s >= 0 else now - self._credit_s / self._share
