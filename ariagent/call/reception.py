"""What is done before a call is served: which call it is, whether it may come, and who talks with the caller."""

import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from ariagent.call.admission import Ticket
from ariagent.call.casting import Arrival, Identity, agent_of, cast, identify, recognised, recollect
from ariagent.call.context import Context
from ariagent.dialogue.role import Role
from ariagent.errors import TurnedAwayError, UnknownAgentError
from ariagent.localtime import day as local_day
from ariagent.logs import CallLog
from ariagent.metrics import NO_AGENT
from ariagent.records import events as rec

OWN_CALL = "own_call"
"""Why a call is not taken that another agent of ours would be the caller of."""


class Reception:
    """One call's. Its record begins here, and what it takes of the caps is given back by ``leave``."""

    def __init__(self, context: Context, arrival: Arrival, log: CallLog, answered: Callable[[str, str], bool]) -> None:
        """``answered``: as in ``Call``."""
        self._context = context
        self.arrival = arrival
        """From ``receive`` on with the caller's number and name as far as they show them."""
        self._number = arrival.channel.caller_number
        self._log = log
        self._answered = answered
        self.arrived = time.time() if arrival.resumes is None else arrival.resumes.began
        """Unix time; of a call that goes on after its process died, when it came to that one."""
        self.call_id = arrival.channel.id
        """The channel's own id until Asterisk has told which call it belongs to."""
        self.role: Role | None = None
        """Who talks with the caller, once that is known."""
        self.agent = NO_AGENT
        """The agent of the settings that the call is for, once that is known."""
        self.queue = ""
        self._ticket: Ticket | None = None

    async def receive(self, media: UUID) -> Role:
        """Learn all that. Raises AriError, UnknownAgentError, or TurnedAwayError where a cap is reached."""
        context, arrival, log = self._context, self.arrival, self._log
        identity = await identify(context, arrival, log)
        number, name = identity.caller.number, identity.caller.name
        channel = replace(arrival.channel, caller_number=number, caller_name=name)
        self.arrival = arrival = replace(arrival, channel=channel)
        if arrival.resumes is None:
            await recollect(context, identity)
            arrival = self.arrival = recognised(context, arrival, identity)
        self.call_id = log.call_id = identity.call_id
        self._begin_record()
        if self._number and not number and context.settings.records.withheld_numbers:
            log.tell(rec.NumberWithheld(self._number))
        leg, resumes = arrival.channel.id, arrival.resumes
        caller, seat = arrival.channel.caller_number or "-", arrival.seat or "-"
        agent = "-"
        try:
            agent = self.agent = agent_of(context, identity)
            self._refuse_own(identity)
            self._admit(agent, identity)
            role = await cast(context, arrival, identity, log)
        except (UnknownAgentError, TurnedAwayError) as error:
            agent = error.name if isinstance(error, UnknownAgentError) else agent
            log.tell(rec.CallStarted(leg, agent, seat, caller))
            raise
        self.role, self.queue = role, identity.facts.queue
        if resumes is None:
            log.tell(rec.CallStarted(leg, role.name, seat, caller, str(media)))
        else:
            # The silence was shorter where nobody said anything before it: nothing else tells when it began.
            since_record_s = round(time.time() - resumes.last_at, 3)
            lines = len(resumes.entries)
            log.tell(rec.CallTakenOver(leg, role.name, seat, str(media), since_record_s, lines))
        return role

    def answered(self, at: float) -> None:
        """The caller was answered then (Unix time): minutes count from now on."""
        if self._ticket is not None:
            self._context.admission.answered(self._ticket, at)

    def count(self) -> None:
        """The caller has transferred the agent: that counts as a call from their number."""
        self._context.admission.count(self._number, time.time())

    def leave(self) -> None:
        """The call is over: others may come in its place."""
        if self._ticket is not None:
            now = time.time()
            self._context.admission.leave(self._ticket, now, local_day(now, self._context.settings.zone))

    def _begin_record(self) -> None:
        resumes, journal = self.arrival.resumes, self._context.journal
        if resumes is not None and resumes.row is not None:
            self._log.record = journal.resume(resumes.row, self.call_id, self.arrived)
        else:
            self._log.record = journal.begin(self.call_id, self.arrived)

    def _refuse_own(self, identity: Identity) -> None:
        """Raises TurnedAwayError for a channel that belongs to a call of ours: whoever talks with the agent has
        transferred it to an agent, and both would talk with each other."""
        channel = self.arrival.channel
        if self.arrival.resumes is None and self._answered(identity.linked_id, channel.name):
            self._log.tell(rec.OwnCallRefused(channel.name))
            raise TurnedAwayError(OWN_CALL)

    def _admit(self, agent: str, identity: Identity) -> None:
        memories, now = self._context.memories, time.monotonic()
        returned = any(memories.knows(call_id, now) for call_id in (self.call_id, identity.handed_over_as))
        returned |= self.arrival.resumes is not None
        zone, shown = self._context.settings.zone, bool(self.arrival.channel.caller_number)
        admitted = self._context.admission.enter(
            agent, self._number, self.arrived, returned=returned, day=local_day(self.arrived, zone), withheld=not shown
        )
        if isinstance(admitted, str):
            raise TurnedAwayError(admitted)
        self._ticket = admitted
