"""Hand-offs that do not come to their end: human agents refuse, nobody is there, the caller hangs up at any point.

Afterwards nothing is left: no channel, no bridge, no call in the service, no busy seat. ``KINDS`` are the ways in which
a caller is handed over.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ariagent.call.machine import State
from lab.asterisk import AsteriskInstance
from lab.conf import FEW_SEATS
from lab.packages import default_lab_dir, ensure_asterisk

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
QUEUE = {"queue": "support", "description": "the service desk", "timeout_s": 30}
DESTINATIONS: dict[str, dict[str, Any]] = {
    "humans": {**QUEUE, "kind": "blind"},
    "nobody": {**QUEUE, "kind": "blind", "timeout_s": 3},
    "boss": {"extension": "1002", "description": "the boss", "timeout_s": 30, "kind": "blind"},
    "briefed": {**QUEUE, "kind": "briefed"},
    "empty": {**QUEUE, "queue": "breakdesk", "kind": "blind"},
}
AGENT = {"handoff": list(DESTINATIONS), "transcription": None}
BREAK_QUEUE = """[breakdesk]
joinempty = paused,unavailable,invalid
leavewhenempty = paused,unavailable,invalid
member => PJSIP/1004,0,Agent 1004,,no,0,yes
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way of handing a caller over, and how to bring it about."""

    key: str
    """The caller's key; see scenarios/handoff.yaml."""
    phone: str
    """The phone that rings."""
    returns: str
    """The caller's key to come back after 3 s because nobody takes the call; empty: it takes longer."""


KINDS = {
    "blind": Kind("1", "1001", "2"),
    "blind to an extension": Kind("3", "1002", ""),
    "briefed": Kind("5", "1001", ""),
}


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """An Asterisk with a queue whose human agents are on a break."""
    root = tmp_path_factory.mktemp("cut")
    instance = AsteriskInstance(
        ensure_asterisk(default_lab_dir()), root, seats=FEW_SEATS, additions={"queues.conf": BREAK_QUEUE}
    )
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


async def until(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise TimeoutError(f"waited {limit_s:g} s for {what}") from None


@dataclass
class Scene:
    """A caller who talks with the agent."""

    number: str
    service: Any
    human: Any
    """The human agent's phone."""
    call: Any
    hearing: Any
    log: Any
    kind: Kind

    async def ask(self, key: str = "") -> float:
        """Ask to be transferred; returns when the agent began to say so."""
        asked = time.monotonic()
        await self.call.send_dtmf(key or self.kind.key)
        return float(await self.hearing.wait_loud(asked))

    async def handed_over(self) -> None:
        await self.ask()
        await self.log.wait("call.transferred")

    async def rings(self) -> Any:
        """The human agent's phone rings."""
        await self.handed_over()
        return await self.human.incoming(LIMIT_S)


@pytest.fixture
async def scene(sandbox: Any, service: Any, phone: Any, dial: Any, log: Any) -> Any:
    """``await scene("7000", "blind")``"""

    async def make(number: str, kind: str = "blind") -> Scene:
        running = await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
        human = await phone(KINDS[kind].phone, register=True)
        call, hearing = await dial(number)
        await hearing.utterance()
        return Scene(number, running, human, call, hearing, log, KINDS[kind])

    return make


async def cut_in_the_sentence(scene: Scene) -> None:
    await scene.ask()


async def cut_while_transferring(scene: Scene) -> None:
    await scene.ask()
    [call] = scene.service.calls.calls
    await until(lambda: call.state is State.TRANSFERRING or scene.log.named("call.transferred"), "the transfer")


async def cut_while_waiting(scene: Scene) -> None:
    await (await scene.rings()).reject(486)
    await scene.log.wait("call.ended", result="transferred")


async def cut_while_it_rings(scene: Scene) -> None:
    await (await scene.rings()).ring()


async def cut_while_it_is_answered(scene: Scene) -> None:
    incoming = await scene.rings()
    scene.human.spawn(incoming.answer())


async def cut_in_the_conversation(scene: Scene) -> None:
    await (await scene.rings()).answer()
    await asyncio.sleep(0.3)  # some of a conversation


async def cut_when_back(scene: Scene) -> None:
    if not scene.kind.returns:
        await (await scene.rings()).reject(486)
    else:
        await scene.ask(scene.kind.returns)
        await scene.log.wait("call.transferred")
    back = await scene.log.wait("call.answered", count=2)
    await scene.hearing.wait_loud(back.at)


MOMENTS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    name.removeprefix("cut_"): moment for name, moment in globals().items() if name.startswith("cut_")
}


CUTS = [
    ("7001", "blind", "while_transferring"),
    ("7000", "blind", "while_waiting"),
    ("7001", "blind", "in_the_conversation"),
    ("7000", "blind", "when_back"),
    ("7001", "blind to an extension", "while_it_rings"),
    ("7000", "briefed", "while_it_is_answered"),
]
MORE_CUTS = [
    ("7000", "blind", "in_the_sentence"),
    ("7001", "blind", "while_it_rings"),
    ("7000", "blind", "while_it_is_answered"),
    ("7001", "blind to an extension", "when_back"),
    ("7000", "briefed", "while_transferring"),
]
"""Some; test_cut_transfers has them all."""


@pytest.mark.parametrize(
    ("number", "kind", "moment"), [*CUTS, *(pytest.param(*cut, marks=pytest.mark.long) for cut in MORE_CUTS)]
)
async def test_nothing_is_left_of_a_caller_who_hangs_up(
    number: str, kind: str, moment: str, scene: Any, bed: Any, log: Any
) -> None:
    made = await scene(number, kind)
    await MOMENTS[moment](made)
    await made.call.hangup()
    await bed.nothing_left()
    ended = Counter(entry["call"] for entry in log.named("call.ended"))
    assert len(ended) == 1, "it is one call, whoever served it"


@pytest.mark.parametrize(("number", "status"), [("7000", 486)])
async def test_human_agents_who_refuse_are_called_again_until_the_caller_comes_back(
    number: str, status: int, scene: Any, bed: Any, log: Any, queue_log: Any
) -> None:
    made = await scene(number)
    await made.ask(made.kind.returns)
    refused = 0
    while len(log.named("call.started")) < 2:
        try:
            incoming = await made.human.incoming(0.5)
        except TimeoutError:
            continue
        await incoming.reject(status)
        refused += 1
    assert refused
    back = await log.wait("call.answered", count=2)
    await made.hearing.wait_loud(back.at)
    call_id = back["call"]
    assert ("support", "Agent 1001", "RINGNOANSWER") in queue_log.verbs(call_id)
    assert ("support", "NONE", "EXITWITHTIMEOUT") in queue_log.verbs(call_id)
    await made.call.hangup()
    await bed.nothing_left()


@pytest.mark.parametrize(("number", "status"), [("7001", 603)])
async def test_an_extension_that_refuses_sends_the_caller_back_at_once(
    number: str, status: int, scene: Any, bed: Any, log: Any
) -> None:
    made = await scene(number, "blind to an extension")
    await (await made.rings()).reject(status)
    back = await log.wait("call.answered", count=2)
    await made.hearing.wait_loud(back.at)
    await made.call.hangup()
    await bed.nothing_left()


async def test_a_queue_whose_people_are_all_on_a_break_sends_the_caller_back_at_once(
    scene: Any, phone: Any, bed: Any, log: Any, queue_log: Any
) -> None:
    # With nobody at all the agent would not even try.
    await phone("1004", register=True)
    made = await scene("7000")
    await made.ask("55")
    handed = await log.wait("call.transferred", destination="empty")
    back = await log.wait("call.answered", count=2)
    assert back.at - handed.at < 5
    assert not [row for row in queue_log.rows("ENTERQUEUE") if row[1] == "breakdesk"]
    await made.hearing.wait_loud(back.at)
    await made.call.hangup()
    await bed.nothing_left()
