"""Where the model may transfer callers, and whether that is of any use now. CORE.

Before the model offers a transfer, it may ask for the state of a destination (``transfer_status``). If nobody there can
take the call, a transfer is refused with the state and the site's alternatives. If the wait is long, a transfer is
refused once, so that the model asks the caller. Times are seconds since the epoch, for the opening hours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.notes import CALLER_CAN, NOT_TRANSFERRED
from ariagent.pool.queues import QueueView, describe

if TYPE_CHECKING:
    from ariagent.config import AgentSettings, HoursSettings
    from ariagent.config.handoff import DestinationSettings


@dataclass(frozen=True, slots=True)
class DestinationState:
    """Whether a destination's human agents can take a caller now."""

    words: str
    there: bool
    """False: nobody will take the call, so it is of no use to wait."""
    quick: bool
    """False: only after a wait that the caller is to be asked about."""
    wrong: bool = False
    """The settings or Asterisk are wrong: nobody will ever be there."""


class Destinations:
    """The destinations of one call's agent. ``view`` tells how a queue looks now, None where that is not known."""

    def __init__(
        self,
        agent: "AgentSettings",
        places: "Mapping[str, DestinationSettings]",
        hours: "Mapping[str, HoursSettings]",
        view: Callable[[str], QueueView | None],
        has_queue: Callable[[str], bool | None] = lambda name: None,
    ) -> None:
        """``places``: the site's destinations. ``has_queue``: whether there is a queue of this name; None where that is
        not known."""
        self.places: Mapping[str, DestinationSettings] = {name: places[name] for name in agent.handoff}
        self._alternatives = agent.alternatives
        self._hours = hours
        self._view = view
        self._has_queue = has_queue
        self._asked: set[str] = set()

    @property
    def first(self) -> "tuple[str, DestinationSettings] | None":
        """The destination of callers who ask for a human agent by key, or whose model is gone."""
        return next(iter(self.places.items()), None)

    def state(self, name: str, at: float) -> DestinationState:
        """The state of a destination."""
        place = self.places[name]
        calendar = self._hours[place.hours].calendar if place.hours is not None else None
        if calendar is not None and not calendar.open_at(at):
            return DestinationState(calendar.in_words(at), there=False, quick=False)
        if place.queue is None:
            return DestinationState("can be called; whether somebody is there is not known", there=True, quick=True)
        view = self._view(place.queue)
        if view is None and self._has_queue(place.queue) is False:
            return DestinationState("cannot be reached: there is no such queue", there=False, quick=False, wrong=True)
        if view is None:
            return DestinationState("can be tried; whether somebody is free is not known", there=True, quick=True)
        if place.ask_above_s is None:
            return DestinationState(describe(view), there=True, quick=True)
        wait_s = view.next_wait_s if view.working else float("inf")
        slow = wait_s is not None and wait_s > place.ask_above_s
        return DestinationState(describe(view), there=bool(view.logged_in), quick=not slow)

    def refusal(self, wanted: Handoff, at: float) -> dict[str, object] | None:
        """The reason, for the model, why a transfer is not made now; None: it is made."""
        now = self.state(wanted.name, at)
        if now.there and (now.quick or wanted.will_wait or wanted.name in self._asked):
            return None
        if now.there:
            self._asked.add(wanted.name)
        return {"error": NOT_TRANSFERRED, "state": now.words, "caller_can": self._offers(wanted.name, now)}

    def status(self, at: float) -> dict[str, dict[str, object]]:
        """The states of all destinations, for the model."""
        found: dict[str, dict[str, object]] = {}
        for name in self.places:
            now = self.state(name, at)
            found[name] = {"state": now.words}
            if not (now.there and now.quick):
                found[name]["caller_can"] = self._offers(name, now)
        return found

    @property
    def message_kinds(self) -> list[str]:
        """The kinds of message that callers may leave: ``message``, ``callback``."""
        offered = {*self._alternatives}.union(*(place.alternatives or () for place in self.places.values()))
        return [kind for kind in ("message", "callback") if kind in offered]

    def _offers(self, name: str, now: DestinationState) -> list[str]:
        own = self.places[name].alternatives
        offered = self._alternatives if own is None else own
        return [CALLER_CAN[each] for each in offered if each != "wait" or now.there]
