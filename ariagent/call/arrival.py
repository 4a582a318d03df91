"""Arrival: identifies a call, asks whether it may come, and chooses its agent."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from ariagent import localtime
from ariagent.agents import briefing
from ariagent.agents.choose import DIALLED, QUEUE, ArrivalFacts, choose, needed_variables
from ariagent.ari import events as ari
from ariagent.call import presentation
from ariagent.call.admission import Ticket
from ariagent.call.context import Context
from ariagent.call.takeover import InterruptedCall
from ariagent.call.variables import CALLER, given
from ariagent.dialogue import introduction
from ariagent.dialogue.memory import Memory
from ariagent.dialogue.role import Role
from ariagent.errors import TurnedAwayError, UnknownAgentError
from ariagent.localtime import day as local_day
from ariagent.logs import CallLog
from ariagent.metrics import NO_AGENT
from ariagent.records import events as rec
from ariagent.records.events import InstructionValuesMissing
from ariagent.tools.plugins import CallFacts

OWN_CALL = "own_call"
"""The refusal of a call whose caller is another agent of this service."""
OWN = "ARIAGENT_"
"""Begins the names of ariagent's own variables."""
RETURNED, CALL = "ARIAGENT_RETURNED", "ARIAGENT_CALL"
LINKED_ID = "CHANNEL(linkedid)"


NOBODY = introduction.Party()


@dataclass(frozen=True, slots=True)
class Arrival:
    """The way on which a call came in."""

    channel: ari.Channel
    agent: str | None
    """Named by the dialplan, or None: chosen by the channel variable ARIAGENT_AGENT, else by the routes."""
    seat: str | None
    """The queue seat, or None for a call straight into Stasis."""
    resumes: InterruptedCall | None = None
    """The call was served before, by a process that is gone."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of an arriving call."""

    call_id: str
    facts: ArrivalFacts
    linked_id: str = ""
    """The channel's now. Equal to ``call_id``, except for a call that continues after a restart."""
    transferred_by: str = ""
    """The channel of the human agent who transferred the caller to the AI; empty if nobody did."""
    caller: introduction.Party = NOBODY
    """The caller, as far as they show who they are."""
    why_back: str = ""
    """The status of a transfer to human agents whom nobody took; empty if the caller does not come back from one."""
    handed_over_as: str = ""
    """The id of the call in which the AI transferred the caller to human agents; empty if it did not. Behind an
    attended transfer Asterisk counts the caller among the calls that they came with: then it is another one."""
    channels: tuple[str, ...] = ()
    """Where the site's variables are: on the queue's caller (by name), if there is one, then on the call's channel."""


async def identify(context: Context, arrival: Arrival, log: CallLog) -> Identity:
    """The call's id and what its agent is chosen by. Raises AriError."""
    named = arrival.agent if arrival.agent in context.settings.agents else None
    wanted = () if named else needed_variables(context.settings)
    # Queue and dialled number are read for every call: instructions, the lookup and each tool may use them.
    own = {QUEUE, DIALLED, *(name for name in wanted if name.startswith(OWN))}
    if arrival.seat is not None:
        own.add(CALLER)
    leg = arrival.channel.id
    shown = (presentation.NUMBER, presentation.NAME)
    read = await context.ari.get_variables(leg, (LINKED_ID, introduction.FROM, CALL, RETURNED, *shown, *sorted(own)))
    found = {name: value for name, value in read.items() if value}
    caller = _caller(arrival, {name: found.pop(name, "") for name in shown})
    # A seat is a Local channel: functions like PJSIP_HEADER, and variables without __, are the caller's channel's.
    queued = found.pop(CALLER, "")
    channels = (queued, leg) if queued else (leg,)
    found |= await context.variables.read(context.ari, channels, (name for name in wanted if name not in own), log)
    by, before, why_back = (found.pop(name, "") for name in (introduction.FROM, CALL, RETURNED))
    extension = "" if arrival.seat is not None else arrival.channel.extension
    call_id = linked_id = found.pop(LINKED_ID, "") or arrival.channel.id
    if arrival.resumes is not None:
        # The first id is the one that it keeps, whatever calls it was joined with since.
        call_id, by = arrival.resumes.call_id or call_id, ""
    facts = ArrivalFacts.of(arrival.agent, found, extension)
    return Identity(call_id, facts, linked_id, by, caller, why_back, before, channels)


def _caller(arrival: Arrival, found: Mapping[str, str]) -> introduction.Party:
    party = introduction.Party.of(arrival.channel.caller_number, arrival.channel.caller_name)
    # After a transfer into a call that continues, the channel's presentation is somebody else's.
    known = arrival.resumes is not None and arrival.resumes.caller == party.number
    return presentation.shown(party, {} if known else found)


async def recollect(context: Context, identity: Identity) -> None:
    """Load what a former process recorded of a caller who comes back from human agents."""
    if not identity.handed_over_as or _memory(context, identity) is not None:
        return
    memory = await asyncio.to_thread(context.transferred_call, identity.handed_over_as)
    if memory is not None:
        context.memories.keep(identity.handed_over_as, memory, time.monotonic())


def recognised(context: Context, arrival: Arrival, identity: Identity) -> Arrival:
    """The arrival with the number that the caller had before the transfer to human agents, if their channel shows
    none."""
    channel, memory = arrival.channel, _memory(context, identity)
    if channel.caller_number or memory is None or not memory.caller_number:
        return arrival
    name = channel.caller_name or memory.caller_name
    return replace(arrival, channel=replace(channel, caller_number=memory.caller_number, caller_name=name))


def agent_name(context: Context, identity: Identity) -> str:
    """The name of the agent who takes the call. Raises UnknownAgentError.

    A caller whom no human agent took comes back to the agent who transferred them, whatever the numbers say.
    """
    if identity.why_back and not identity.transferred_by:
        memory = _memory(context, identity)
        if memory is not None and memory.agent in context.settings.agents:
            return memory.agent
    return choose(context.settings, identity.facts)


def _memory(context: Context, identity: Identity) -> Memory | None:
    """The memory of a caller who was transferred to human agents, which stays."""
    now = time.monotonic()
    known = (context.memories.of(call_id, now) for call_id in (identity.call_id, identity.handed_over_as))
    return next((found for found in known if found is not None), None)


async def choose_agent(context: Context, arrival: Arrival, identity: Identity, log: CallLog) -> Role:
    """The agent for a call, with its instructions. Raises AriError, UnknownAgentError."""
    facts, channel = identity.facts, arrival.channel
    name = agent_name(context, identity)
    agent = context.settings.agents[name]
    variables = await context.variables.read(context.ari, identity.channels, agent.variables, log)
    now, zone = time.time(), context.settings.zone_of(agent)
    values = briefing.call_values(
        name,
        call_id=identity.call_id,
        caller_number=channel.caller_number,
        caller_name=channel.caller_name,
        called=facts.dialled or facts.extension,
        queue=facts.queue,
        date=localtime.day(now, zone),
        time=localtime.clock(now, zone),
        weekday=localtime.weekday(now, zone, agent.language),
        variables={key: variables.get(key, "") for key in agent.variables},
    )
    if agent.lookup is not None:
        found = await context.toolbox.lookup(agent.lookup, values, call_id=identity.call_id)
        values |= {f"lookup.{key}": value for key, value in found.items()}
    told = briefing.instructions(agent, values)
    if told.missing:
        log.tell(InstructionValuesMissing(",".join(told.missing)))
    about = CallFacts(identity.call_id, name, channel.caller_number, channel.caller_name, agent.language, values)
    memory, why = _back(context, arrival, identity)
    by = await _introduction(context, arrival, identity, known=memory is not None)
    return Role(agent, told.text, about, memory, "" if by else why, by)


async def _introduction(
    context: Context, arrival: Arrival, identity: Identity, *, known: bool
) -> introduction.Introduction | None:
    """The introduction of the human agent who transferred the caller to the AI; None if nobody did."""
    if not identity.transferred_by:
        return None
    found = await given(context.ari, arrival.channel.id, introduction.VARIABLES)
    return introduction.Introduction.of(identity.transferred_by, found, known=known)


def _back(context: Context, arrival: Arrival, identity: Identity) -> tuple[Memory | None, str]:
    """The memory of a caller who was transferred to human agents and has come back, and the reason for the return."""
    if arrival.resumes is not None and (resumed := arrival.resumes.memory(time.time())) is not None:
        return resumed, ""
    now = time.monotonic()
    memory = context.memories.take(identity.call_id, now) or context.memories.take(identity.handed_over_as, now)
    return memory, "" if memory is None else identity.why_back


class ArrivingCall:
    """One call's. Its record begins here, and what it takes of the caps is given back by ``leave``."""

    def __init__(self, context: Context, arrival: Arrival, log: CallLog, answered: Callable[[str, str], bool]) -> None:
        """``answered``: as in ``Call``."""
        self._context = context
        self.arrival = arrival
        """The arrival; after ``receive`` it has the caller's number and name, as far as the caller shows them."""
        self._number = arrival.channel.caller_number
        self._log = log
        self._answered = answered
        self.arrived = time.time() if arrival.resumes is None else arrival.resumes.began
        """Unix time. If the call continues after its process died: the time when it came to that process."""
        self.call_id = arrival.channel.id
        """The channel's own id until Asterisk has told which call it belongs to."""
        self.role: Role | None = None
        """The agent's role; None until the agent is chosen."""
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
            agent = self.agent = agent_name(context, identity)
            self._refuse_own(identity)
            self._admit(agent, identity)
            role = await choose_agent(context, arrival, identity, log)
        except (UnknownAgentError, TurnedAwayError) as error:
            agent = error.name if isinstance(error, UnknownAgentError) else agent
            log.tell(rec.CallStarted(leg, agent, seat, caller))
            raise
        self.role, self.queue = role, identity.facts.queue
        started = rec.CallStarted(leg, role.name, seat, caller, str(media))
        if resumes is None:
            log.tell(started)
        else:
            if resumes.row is None and log.record is not None:
                # The record begins here. The log says that the call is resumed.
                log.record.tell(started, time.time())
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
        """Raises TurnedAwayError for a channel that belongs to a call of this service: the party that talks with the
        agent has transferred it to an agent, and both would talk with each other."""
        channel = self.arrival.channel
        if self.arrival.resumes is None and self._answered(identity.linked_id, channel.name):
            self._log.tell(rec.OwnCallRefused(channel.name))
            raise TurnedAwayError(OWN_CALL)

    def _admit(self, agent: str, identity: Identity) -> None:
        returned = self.arrival.resumes is not None or _memory(self._context, identity) is not None
        zone, shown = self._context.settings.zone, bool(self.arrival.channel.caller_number)
        admitted = self._context.admission.enter(
            agent, self._number, self.arrived, returned=returned, day=local_day(self.arrived, zone), withheld=not shown
        )
        if isinstance(admitted, str):
            raise TurnedAwayError(admitted)
        self._ticket = admitted
