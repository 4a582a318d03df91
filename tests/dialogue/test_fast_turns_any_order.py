"""Fast turns, whatever happens in whatever order: nothing that was discarded is heard or done, and nothing twice."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ariagent.dialogue import effects as fx
from ariagent.dialogue import events
from ariagent.realtime import events as rt
from ariagent.realtime.dialect import OPENAI, SPEECH_TO_SPEECH, Dialect, Understanding
from ariagent.realtime.session import RealtimeSession
from tests.dialogue.talking import LOUD, Call
from tests.examples import examples


class Server:
    """A server that ends turns early, and a caller; each step is possible only where a server could take it."""

    def __init__(self, turns: str = "fast", *, confirm: bool = True, dialect: Dialect = OPENAI) -> None:
        agent = {"turns": turns, "tools": ["order", "look"], "interruptions": {"confirm": confirm}}
        self.call = Call({**agent, "keypad": {"pause_ms": 100}}, safe={"look"})
        self.understanding = Understanding(dialect)
        self.call.session = RealtimeSession(self.call.profile, self.understanding)
        self.call.ready(self.call.session)
        self.call.dialogue.use(self.call.session)
        self.turn = ""
        self.turns = self.made = 0
        self.due = False
        """The last turn is not answered."""
        self.active = ""
        self.calls: list[rt.ToolCall] = []
        self.of_response: dict[str, str] = {}
        """The response of each item and tool call."""
        self.told: Counter[tuple[str, str]] = Counter()
        """Cancelled responses and deleted items."""
        self.outputs: dict[str, str] = {}
        """The items of outputs of tool calls, and their calls."""

    def reads(self) -> None:
        """The server gets what it is sent."""
        for message in self.call.told():
            match message["type"]:
                case "response.cancel":
                    self.told["cancel", message["response_id"]] += 1
                case "conversation.item.delete":
                    self.told["delete", message["item_id"]] += 1
                case "response.create":
                    self.due = True
                case "conversation.item.create" if message["item"]["type"] == "function_call_output":
                    self.outputs[message["item"].get("id", message["event_id"])] = message["item"]["call_id"]

    def begins(self) -> None:
        if not self.turn:
            self.turns += 1
            self.turn = f"u{self.turns}"
            self.call.begins_to_speak(self.turn)

    def stops(self) -> None:
        if self.turn:
            self.call.falls_silent(self.turn)
            self.turn, self.due = "", True

    def words(self, text: str) -> None:
        if self.turns and not self.turn:
            kind = "conversation.item.input_audio_transcription.completed"
            self.call.says(kind, item_id=f"u{self.turns}", transcript=text)

    def starts(self) -> None:
        if self.due and not self.active:
            self.active, self.due = self.call.starts(), False

    def sounds(self) -> None:
        if self.active:
            item_id = f"a-{self.active}"
            self.of_response[item_id] = self.active
            item = {"id": item_id, "type": "message"}
            self.call.says("response.output_item.added", response_id=self.active, item=item)
            self.call.sounds(300, item_id)

    def calls_tool(self, name: str) -> None:
        if self.active:
            self.made += 1
            call_id = f"c{self.made}"
            self.of_response[call_id] = self.of_response[f"i{call_id}"] = self.active
            call = {"id": f"i{call_id}", "type": "function_call", "call_id": call_id, "name": name, "arguments": "{}"}
            self.call.says("response.output_item.added", response_id=self.active, item=call)
            self.call.says("response.output_item.done", response_id=self.active, item=call)

    def ends(self) -> None:
        if self.active:
            if self.active not in self.of_response.values():
                self.sounds()  # a model whose responses are empty is given up
            self.reads()
            cancelled = self.told["cancel", self.active]
            self.call.ends(f"a-{self.active}", status="cancelled" if cancelled else "completed")
            self.active = ""

    def tools_end(self) -> None:
        for made in self.running:
            self.call.dialogue.tool_ended(made, '"x"', ok=True, kind="ok", now=self.call.now)
        self.running.clear()

    @property
    def running(self) -> list[rt.ToolCall]:
        self.calls += [effect.call for effect in self.call.took() if isinstance(effect, fx.RunTool)]
        return self.calls

    def key(self) -> None:
        self.call.dialogue.press("5", self.call.now)

    def whispers(self) -> None:
        self.call.dialogue.whisper("Be brief.", self.call.now, at_once=True)

    def judged(self, probability: float) -> None:
        asked = [effect for effect in (*self.call.all, *self.call.took()) if isinstance(effect, fx.JudgeTurn)]
        if asked:
            self.call.dialogue.turn_judged(asked[-1].pause, probability, self.call.now)

    def lost(self) -> None:
        """The session is lost, and another one is made."""
        self.reads()
        call = self.call
        call.dialogue.handle(rt.SessionLost(rt.Fault.NETWORK, "cut"), call.now)
        call.session = RealtimeSession(call.profile, self.understanding)
        self.outputs.clear()
        call.ready(call.session)
        call.dialogue.renew(call.session, call.now)
        self.turn, self.due, self.active = "", False, ""

    def found(self, kind: type) -> list[object]:
        self.calls += [effect.call for effect in self.call.took() if isinstance(effect, fx.RunTool)]
        return [effect for effect in self.call.all if isinstance(effect, kind)]


STEPS: dict[str, Callable[[Server], object]] = {
    "loud": lambda server: server.call.lasts(0.2, LOUD),
    "quiet": lambda server: server.call.lasts(0.3),
    "begins": Server.begins,
    "stops": Server.stops,
    "says": lambda server: server.words("stop"),
    "agrees": lambda server: server.words("okay"),
    "starts": Server.starts,
    "sounds": Server.sounds,
    "order": lambda server: server.calls_tool("order"),
    "look": lambda server: server.calls_tool("look"),
    "ends": Server.ends,
    "tools end": Server.tools_end,
    "key": Server.key,
    "whispers": Server.whispers,
    "complete": lambda server: server.judged(1.0),
    "incomplete": lambda server: server.judged(0.0),
    "lost": Server.lost,
}


@pytest.mark.parametrize("dialect", [OPENAI, SPEECH_TO_SPEECH], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("confirm", [True, False])
@example(steps=["begins", "loud", "stops", "starts", "order", "ends", "begins"])
@settings(max_examples=examples(150), deadline=None)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=30))
def test_nothing_discarded_is_heard_or_done_and_nothing_twice(
    confirm: bool, dialect: Dialect, steps: list[str]
) -> None:
    server = Server(confirm=confirm, dialect=dialect)
    for step in steps:
        STEPS[step](server)
        server.reads()
    # Whatever it was, a turn of the caller's is answered afterwards.
    server.stops()
    for _ in range(40):
        server.ends()
        server.tools_end()
        server.call.lasts(0.5)
        server.reads()
        server.starts()
    server.ends()
    server.call.lasts(1.0)
    server.begins()
    server.call.lasts(1.0, LOUD)
    server.call.lasts(0.3)
    server.stops()
    server.call.lasts(0.1)
    server.reads()
    server.starts()
    server.sounds()
    last = f"a-{server.active}"
    server.ends()
    server.call.lasts(3.0)

    discarded = [event.response_id for event in server.found(events.AnswerDiscarded)]  # type: ignore[attr-defined]
    heard = [event.item_id for event in server.found(events.AgentBegan)]  # type: ignore[attr-defined]
    done = [event.call_id for event in server.found(events.ToolStarted)]  # type: ignore[attr-defined]
    ran = [effect.call.call_id for effect in server.found(fx.RunTool)]  # type: ignore[attr-defined]
    assert last in heard
    assert len(discarded) == len(set(discarded))
    assert not {server.of_response[item] for item in heard if item in server.of_response} & {*discarded}
    assert not {server.of_response[call_id] for call_id in done} & {*discarded}
    assert len(ran) == len(set(ran))
    assert len(done) == len(set(done))
    twice = {what: times for what, times in server.told.items() if times > 1}
    assert twice == {}
    deleted = {item_id for what, item_id in server.told if what == "delete"}
    assert [item for item, call_id in server.outputs.items() if f"i{call_id}" in deleted and item not in deleted] == []
    dialogue = server.call.dialogue
    assert (dialogue._conversation.hold.paused, dialogue._playout.paused, dialogue._caller_speaks) == (
        False,
        False,
        False,
    )
