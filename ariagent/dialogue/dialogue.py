"""One call's conversation, decided: what is said and when, what tools are run, when the call ends. CORE.

    dialogue.handle(event, now)             # the model said something
    pcm = dialogue.hear(payload, now)       # 20 ms of the caller, for the model
    frame = dialogue.frame(now)             # 20 ms for the caller
    dialogue.press(digit, now), dialogue.tick(now), ...
    for effect in dialogue.take_effects(): ...   # what the call has to do about it

It talks to the model through ``session``, which is a core, too: the driver sends what the session has to say. Times are
monotonic seconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import assert_never

from ariagent.audio.batcher import Batcher
from ariagent.audio.format import AudioFormat
from ariagent.audio.playout import Playout
from ariagent.audio.rates import ModelCodec
from ariagent.audio.uplink import Uplink
from ariagent.audio.waiting_tone import waiting_tone
from ariagent.dialogue import events, notes, opening
from ariagent.dialogue.background import Background
from ariagent.dialogue.builtin_tools import BuiltinTools, CollectDigits, HoldOn
from ariagent.dialogue.conversation import PHRASE, Conversation
from ariagent.dialogue.early_tools import EarlyTools
from ariagent.dialogue.effects import (
    MODEL_LOST,
    MODEL_SILENT,
    AgentFailed,
    CallerSpoke,
    Effect,
    EndRequested,
    FallbackRequested,
    GiveUpSession,
    Happened,
    JudgeTurn,
    ModelFailed,
    NobodyThere,
    RunTool,
    SpeechReady,
    StopJudging,
    TransferRequested,
    WarmTransferRequested,
)
from ariagent.dialogue.handoff import Handoff, clean
from ariagent.dialogue.history import PRESSED, History, Who
from ariagent.dialogue.interruption import BargeInDetector
from ariagent.dialogue.introduction import Party
from ariagent.dialogue.leaving import Decision, Leaving
from ariagent.dialogue.memory import Memory, Unfinished
from ariagent.dialogue.policy import Action, CallPolicy, DigitsCollected, GiveDigits, HumanWanted, TellModel
from ariagent.dialogue.provider_tools import ProviderTools
from ariagent.dialogue.role import Role
from ariagent.dialogue.spoken_time import SpokenTime
from ariagent.dialogue.tool_calls import OpenToolCalls, WaitingPrompts
from ariagent.dialogue.tool_rounds import MOST_CALLS, MOST_ROUNDS, Rounds, Share
from ariagent.dialogue.turn_end import TurnEnd
from ariagent.dialogue.turn_parts import TurnParts
from ariagent.errors import told
from ariagent.realtime import events as rt
from ariagent.realtime.budget import most_unheard_s
from ariagent.realtime.session import RealtimeSession

NOTED_GAP_MS = 200
"""A gap in the caller's audio that is worth telling."""
LOST_PROMPT_AFTER_S, LOST_PROMPT_AGAIN_S = 0.7, 3.0
"""How soon a caller hears a tone while the session with the model is reconnected."""
MOST_INCOMPLETE_REPLIES = 2
"""How often the model continues with a reply that broke off, before the caller has said something."""
WAITING_NOTE_EVERY_S = 30.0
"""How often a caller hears that a human agent is still being called."""
TONE = "tone"
_SESSION = "session"
_SPEECH_READY = SpeechReady()


class Dialogue:
    """One call's. See the module's text for how to use it."""

    def __init__(
        self,
        role: Role,
        tools: BuiltinTools,
        session: RealtimeSession,
        codec: ModelCodec,
        fmt: AudioFormat,
        *,
        phrase: opening.FindPhrase,
        waiting_prompt: Callable[[str], str | None],
        safe_to_repeat: Callable[[str], bool] = lambda name: False,
        unix_offset_s: float,
    ) -> None:
        """``fmt``: the leg's audio. ``waiting_prompt``: what a caller hears who waits for the site's tool of this name.
        ``safe_to_repeat``: whether that tool may run for an answer that is discarded. ``unix_offset_s``: added to
        ``now`` it is seconds since the epoch, for the opening hours."""
        self.role = role
        """The agent's role and the caller's facts; ``caller_changed`` replaces them."""
        self.effects: list[Effect | events.DialogueEvent] = []
        """Effects that the driver has not taken yet."""
        self._tools = tools
        self._session = session
        self._format = fmt
        self._phrase = phrase
        self._waiting_prompt = waiting_prompt
        self._safe_to_repeat = safe_to_repeat
        self._unix_offset_s = unix_offset_s
        self._history = History()
        self._uplink = Uplink(fmt)
        self._batcher = Batcher(fmt)
        self._playout = Playout(fmt, 1000 * most_unheard_s(role.agent.max_output_tokens))
        agreement, transcribes = role.agent.interruptions.agreement, role.agent.transcription is not None
        self._leaving = Leaving(role.language, agreement, transcribes=transcribes)
        self._background = Background()
        fast = role.agent.turns == "fast"
        self._parts = TurnParts() if fast else None
        self._conversation = Conversation(
            session,
            self._playout,
            self._uplink,
            codec,
            self._leaving,
            self._background,
            self._detector(),
            self._turn_end() if fast else None,
        )
        self._policy: CallPolicy | None = None  # from the first words on
        self._open_calls = OpenToolCalls()
        self._early_tools = EarlyTools()
        self._rounds = Rounds()
        self._provider_tools = ProviderTools(role.agent.mcp)
        self._prompts = WaitingPrompts()
        self._spoken = SpokenTime()
        self._caller_speaks = False
        self._on_hold = False
        self._incomplete_replies = 0
        """Replies that broke off since the caller was heard last."""
        self._talked = False
        """Somebody has said something to the agent."""
        self._warm_transfer_since: float | None = None
        """A human agent is being called while the caller talks with the model, since then."""
        self._waiting_note_due = float("inf")

    def _detector(self) -> BargeInDetector | None:
        agent = self.role.agent
        if not agent.interruptions.confirm or agent.turn_detection.interrupt_response:
            return None
        return BargeInDetector(
            agent.interruptions, self._uplink, self.role.language, transcribes=agent.transcription is not None
        )

    def _turn_end(self) -> TurnEnd:
        hold_ms, threshold = self.role.agent.hold_in(self.role.language)
        return TurnEnd(self._uplink, hold_ms / 1000, threshold)

    # -- what is to be done -----------------------------------------------------------------------

    def take_effects(self) -> list[Effect | events.DialogueEvent]:
        """Return the effects since the last call, in order."""
        effects, self.effects = self.effects, []
        return effects

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``, should nothing happen before."""
        policy = None if self._policy is None else self._policy.next_deadline()
        leaving = self._leaving.next_deadline()
        conversation = self._conversation.next_deadline()
        due = self._waiting_note_due
        for time in (conversation, policy, self._prompts.next_deadline(), leaving):
            if time is not None and time < due:
                due = time
        return None if due == float("inf") else due

    def tick(self, now: float) -> None:
        """Do what is due at this time."""
        self._happened(self._conversation.tick(now), now)
        self._release(now)
        if self._policy is not None:
            self._act(self._policy.tick(now), now)
        self._decide(self._leaving.tick(now), now)
        if prompt := self._prompts.due(now):
            self._play_prompt(prompt)
        if self._warm_transfer_since is not None and now >= self._waiting_note_due:
            self._waiting_note_due = now + WAITING_NOTE_EVERY_S
            self.tell(notes.waiting_note(now - self._warm_transfer_since), now)

    # -- how it stands ----------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """The agent has begun to speak with the caller."""
        return self._policy is not None

    @property
    def finished(self) -> bool:
        """The agent has been heard to the end, and nothing more of it or of its tools is on the way."""
        return self._conversation.quiet and not (self._busy or self._leaving.undecided)

    @property
    def unheard_s(self) -> float:
        """Seconds of the agent's speech that wait to be heard."""
        return self._playout.pending_ms / 1000

    @property
    def at_rest(self) -> bool:
        """Nobody would notice that the session is changed."""
        return not (self._caller_speaks or self._busy) and self._conversation.at_rest

    @property
    def _busy(self) -> bool:
        return len(self._open_calls) > 0 or self._provider_tools.running

    @property
    def last_said(self) -> tuple[Who, str] | None:
        """The side that spoke last, and its words."""
        return self._history.last_said

    @property
    def unfinished(self) -> Unfinished:
        """The part of the conversation that would be unfinished if the process left now."""
        if self._caller_speaks and not self._conversation.hold.paused:
            return Unfinished.TURN
        if not self._playout.idle:
            return Unfinished.WORDS
        return Unfinished.NOTHING if self.at_rest else Unfinished.ANSWER

    def memory(self, destination: str) -> Memory:
        """The conversation so far, for a caller who is transferred and may come back."""
        facts = self.role.facts
        return Memory(self._history.entries, destination, facts.caller_number, facts.caller_name, self.role.name)

    def account(self) -> dict[str, float]:
        """Figures for the call's end."""
        return {
            "underruns": self._playout.underruns,
            "caller_audio_gap_s": round(self._uplink.silence_ms / 1000, 3),
            "caller_audio_gaps": self._uplink.gaps,
        }

    def close(self, now: float) -> None:
        """Nothing more will come of the caller's turns so far: tell what is known of them. Nobody hears a held
        answer."""
        self._happened(self._conversation.hold.drop(self._session, now), now)
        for event in () if self._parts is None else self._parts.over(now):
            self._remember(event, now)

    # -- the caller -------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """The agent says its first words."""
        self._policy = CallPolicy(self.role.agent, self.role.language, self._format, now, self._background)
        if self._on_hold:
            self._policy.line_held(True, now)
        said = opening.begin(self.role, self._conversation, self._history, self._phrase, now)
        self._happened(said, now)
        self.effects.append(_SPEECH_READY)

    def caller_changed(self, before: Party, caller: Party, now: float) -> None:
        """The conversation starts over with the caller whom ``before`` has transferred to the agent."""
        self._stay()
        self.role = replace(self.role, facts=self.role.facts.with_caller(caller.number, caller.name))
        self._tools.caller_number = caller.number
        self._rounds.caller_heard()
        said = opening.greet_next_caller(
            self.role,
            self._conversation,
            self._history,
            self._phrase,
            now,
            before=before,
            caller=caller,
            talked=self._talked,
        )
        self._happened(said, now)
        self.effects.append(_SPEECH_READY)

    def hear(self, payload: bytes, now: float) -> bytes:
        """A frame of the caller's audio; returns what the model is to be sent now, in the leg's format, or nothing."""
        gap_ms = self._uplink.received(payload, now)
        if gap_ms >= NOTED_GAP_MS:
            self.effects.append(events.GapEnded(gap_ms))
        if self._on_hold:
            self._look_at_hold(now)
        return self._batcher.add(payload)

    def gap(self, now: float) -> bytes:
        """The silence that stands for frames which did not come, most often none; to be called every 20 ms."""
        silence = self._uplink.tick(now)
        if self._on_hold:
            self._look_at_hold(now)
        return silence

    def line_held(self, on: bool, now: float) -> None:
        """The caller's phone has put the call on hold, or has taken it back."""
        if on == self._on_hold:
            return
        self._on_hold = on
        if self._policy is not None:
            self._policy.line_held(on, now)

    def _look_at_hold(self, now: float) -> None:
        """A phone on hold that sends nothing plays nothing either: nobody could answer a question."""
        if self._policy is not None:
            self._policy.cut_off(self._uplink.in_gap, now)

    def batch(self, silence: bytes) -> bytes:
        """Take silence that ``gap`` has made, like ``hear``."""
        return self._batcher.add(silence)

    def not_sent(self, pcm: bytes) -> None:
        """No session took this audio of the caller's."""
        self._uplink.dropped(len(pcm))
        self._conversation.missed(pcm, self._format.ms(len(pcm)))

    def listen(self, pcm: bytes, now: float) -> None:
        """Look at a second or so of the caller's audio: whether a machine calls."""
        if self._policy is not None:
            self._act(self._policy.hears(pcm, now), now)

    def frame(self, now: float) -> bytes | None:
        """The next 20 ms for the caller; None: silence."""
        frame = self._playout.next_frame()
        if happened := self._conversation.frame_left(now, speech=frame is not None):
            self._happened(happened, now)
        return frame

    def press(self, digit: str, now: float) -> None:
        """The caller pressed a key: as good as a word."""
        self._rounds.caller_heard()
        self._conversation.hold.key_pressed(now, self.role.agent.keypad.pause_ms / 1000)
        if self._policy is not None:
            self._act(self._policy.pressed(digit, now), now)

    # -- transfers --------------------------------------------------------------------------------

    def tell(self, note: str, now: float) -> None:
        """The model acts on a note as soon as no other response of it is running."""
        self._conversation.tell(note, now)

    def whisper(self, text: str, now: float, *, at_once: bool) -> None:
        """A supervisor's words, which the caller does not hear; ``at_once``: the model acts on them now."""
        note = notes.whisper_note(text)
        if at_once:
            self.tell(note, now)
        else:
            self._conversation.note(note)

    def announce(self, key: str, wanted: Handoff) -> None:
        """The model speaks a summary for the human agent, beside the conversation; OutOfBandEnded has the audio."""
        instructions, alone = notes.announcement_instructions(wanted, self.role.agent.language)
        self._session.say_out_of_band(key, instructions, alone=alone)

    def transfer_failed(self, destination: str, now: float) -> None:
        """Asterisk refused a transfer: the caller is still with the agent."""
        self._stay()
        self.tell(notes.failed_note(destination), now)

    def called_off(self, destination: str) -> None:
        """The transfer, or the end of the call (no destination), was called off because the caller spoke."""
        self._stay()
        self._conversation.note(notes.not_done_note(destination))

    def warm_transfer_began(self, now: float) -> None:
        """A human agent is being called while the caller stays: silence is no reason to ask, nor to end the call."""
        self._warm_transfer_since, self._waiting_note_due = now, now + WAITING_NOTE_EVERY_S
        if self._policy is not None:
            self._policy.warm_transfer(True, now)

    def human_answered(self, now: float) -> None:
        """A human agent has answered and hears the announcement; the caller still stays."""
        self._stop_waiting_notes()
        self.tell(notes.found_note(), now)

    def warm_transfer_ended(self, now: float) -> None:
        """The warm transfer is over, whatever became of it; silence counts again from now on."""
        self._stop_waiting_notes()
        if self._policy is not None:
            self._policy.warm_transfer(False, now)

    def _stop_waiting_notes(self) -> None:
        self._warm_transfer_since, self._waiting_note_due = None, float("inf")

    def break_off(self, now: float) -> None:
        """The agent says nothing more; what was cut off is in the history."""
        self._happened(self._conversation.break_off(now), now)

    @property
    def quiet(self) -> bool:
        """Nothing of the model's is running any more."""
        return self._conversation.quiet

    # -- the model --------------------------------------------------------------------------------

    def use(self, session: RealtimeSession) -> None:
        """The first session that can be used."""
        self._session = session
        self._conversation.begin_in(session)

    def renew(self, session: RealtimeSession, now: float) -> None:
        """Another session takes the place of the one that was lost or expires; it is told what was said so far."""
        self._prompts.end(_SESSION)
        self._session = session
        # The audio that is held back is the first that this session gets.
        session.audio_origin_ms = self._uplink.appended_ms - self._format.ms(self._batcher.held)
        self._conversation.renew(session, self._history.entries, now)

    def handle(self, event: rt.Event, now: float) -> None:
        """Something came from the model."""
        conversation = self._conversation
        if isinstance(event, rt.AudioArrived):  # whoever hands it over lets the playout know
            if conversation.holds_back(event, now):
                self._answer_held(now)
            else:
                conversation.handle(event, now)
            if conversation.overfull:
                self.break_off(now)
                self.effects.append(GiveUpSession("the model's server sent more speech than may wait to be heard"))
            return
        if conversation.holds_back(event, now):
            if isinstance(event, rt.ResponseEnded) and conversation.hold.paused:
                self._run_early(event.tool_calls, now)
                self._answer_held(now)
            return
        if isinstance(event, rt.SpeechStarted):
            # The sound before had its time; its answer must be in the playout before this one is looked at.
            self._happened(conversation.settle(now), now)
            self._release(now)
        match event:
            case rt.SpeechStarted():
                self._batcher.in_turn = True
                self._leaving.turn_began(event.item_id)
                self._spoken.turn_began(event.audio_start_ms)
            case rt.SpeechStopped():
                self._turn_stopped(event, now)
            case rt.SessionFailed():
                self._prompts.end(_SESSION)
                self.effects.append(self._without_model(event))
            case rt.SessionLost():
                self._batcher.in_turn = False
                for key in self._provider_tools.lost():
                    self._prompts.end(key)
                self._tell_busy(now)
                self._prompts.begin(_SESSION, TONE, now, LOST_PROMPT_AFTER_S, LOST_PROMPT_AGAIN_S)
                self._happened(self._conversation.lost(now), now)
                self.close(now)
                return
            case rt.ProviderToolStarted() | rt.ProviderToolEnded() | rt.ToolsNotListed():
                self._provider_tool(event, now)
        self._happened(conversation.handle(event, now), now)
        if isinstance(event, rt.ResponseEnded) and event.tool_calls:
            self._called(event.tool_calls, now)
        self._release(now)

    def _answer_held(self, now: float) -> None:
        if self._conversation.hold.paused:
            self._happened(self._conversation.hold.answer_came(now), now)
            self._release(now)

    def turn_judged(self, pause: int, probability: float, now: float) -> None:
        """The judge has heard a pause of the caller's: the probability that their turn is over."""
        self._happened(self._conversation.hold.judged(pause, probability, now), now)
        self._release(now)

    def _release(self, now: float) -> None:
        """Handle an answer that was held, if the caller is to hear it."""
        released = self._conversation.take_released()
        for event, arrived in released:
            self._happened(self._conversation.handle(event, arrived), now)
            if isinstance(event, rt.ResponseEnded) and event.tool_calls:
                self._called(event.tool_calls, now)
        if released:
            self._early_tools.discard()  # all of them were taken
            self.effects.append(_SPEECH_READY)

    def _turn_stopped(self, event: rt.SpeechStopped, now: float) -> None:
        self._batcher.in_turn = False
        seconds = self._spoken.turn_s(event.audio_end_ms, self._uplink.appended_ms)
        billed = self.role.agent.transcription is not None
        self._happened((events.TurnTranscribed(event.item_id, seconds, billed, self._spoken.believed),), now)

    def _without_model(self, event: rt.SessionFailed) -> Effect:
        cause = told(event.cause, event.remedy)
        if not self.begun:
            return ModelFailed(cause, no_seat_helps=event.full or event.fault is rt.Fault.REQUEST)
        return self._failed(cause, MODEL_SILENT if event.fault is rt.Fault.SILENT else MODEL_LOST)

    def _failed(self, cause: str, reason: str) -> Effect:
        """The model is of no use any more: the caller goes to the agent's first destination, if it has one."""
        if (first := self._tools.destinations.first) is None:
            return ModelFailed(cause, reason)
        name, destination = first
        blind = destination.model_copy(update={"kind": "blind"})
        why, summary = clean(f"the agent failed: {cause}"), clean(self._history.digest())
        return AgentFailed(cause, Handoff(name, blind, "ariagent", why, summary), reason)

    def _provider_tool(
        self, event: rt.ProviderToolStarted | rt.ProviderToolEnded | rt.ToolsNotListed, now: float
    ) -> None:
        tools = self._provider_tools
        match event:
            case rt.ProviderToolStarted():
                tools.started(event, now)
                self._prompts.begin(event.item_id, TONE, now)
                server = tools.server(event.server)
                self.effects.append(events.ToolStarted(event.item_id, event.name, server=server))
            case rt.ProviderToolEnded():
                ran = tools.ended(event, now)
                self._prompts.end(event.item_id)
                self.effects.append(
                    events.ProviderToolEnded(event.item_id, ran.name, ran.server, ran.seconds, event.error, event.ok)
                )
            case rt.ToolsNotListed():
                self.effects.append(events.ProviderToolsMissing(tools.server(event.server)))
        self._tell_busy(now)

    # -- tools ------------------------------------------------------------------------------------

    def _called(self, calls: tuple[rt.ToolCall, ...], now: float) -> None:
        """The model called these tools in one response."""
        share = self._rounds.called(calls, len(self._open_calls))
        self._open_calls.add(calls, now)
        self._refuse(share, now)
        for call in share.run:
            self.effects.append(events.ToolStarted(call.call_id, call.name, call.arguments))
            self._history.used(call.call_id, call.name, call.arguments)
            handled = self._tools.run(call, now + self._unix_offset_s)
            if handled is None:
                self._run(call, now)
                continue
            self.effects.append(events.BuiltinToolUsed(call.name))
            if handled.result is not None:
                needs_response = handled.needs_response
                self._answer_builtin(call.call_id, call.name, handled.result, now, needs_response=needs_response)
            for effect in handled.effects:
                match effect:
                    case CollectDigits(call_id=call_id, wanted=wanted):
                        if self._policy is None:
                            result = notes.error_result("the caller is not here yet")
                            self._answer_builtin(call_id, call.name, result, now)
                        else:
                            self._act(self._policy.collect(call_id, wanted, now), now)
                    case HoldOn():
                        if self._policy is not None:
                            self._policy.hold_on(now)
                    case _:
                        self._announce_leaving(effect)
                        self.effects.append(effect)

    def _run(self, call: rt.ToolCall, now: float) -> None:
        """Run a tool of the site's, unless it runs already, or has run."""
        runs = self._early_tools.runs(call.call_id)
        if (result := self._early_tools.take(call.call_id)) is not None:
            self._tell_result(call, result.output, ok=result.ok, kind=result.kind, seconds=result.seconds, now=now)
            return
        self._prompts.begin(call.call_id, self._waiting_prompt(call.name) or "", now)
        if not runs:
            self.effects.append(RunTool(call))
        self._tell_busy(now)

    def _run_early(self, calls: Iterable[rt.ToolCall], now: float) -> None:
        """Run the tools of a held answer that are safe to repeat; the others wait for its release."""
        for call in calls:
            room = len(self._open_calls) + len(self._early_tools) < MOST_CALLS
            if room and not self._rounds.must_speak and self._safe_to_repeat(call.name):
                self._early_tools.start(call, now)
                self.effects.append(RunTool(call))

    def _announce_leaving(self, effect: Effect | events.DialogueEvent) -> None:
        match effect:
            case EndRequested() | TransferRequested():
                self._leaving.announce()
            case WarmTransferRequested():
                self._stay()

    def _stay(self) -> None:
        """The conversation continues: neither its end nor a transfer is announced any more."""
        self._leaving.over()

    def _decide(self, decision: Decision, now: float) -> None:
        """The caller spoke over what was announced, and either stays or was only polite."""
        match decision:
            case Decision.STAYS:
                self.effects.append(CallerSpoke())
            case Decision.LEAVES if self._session.awaits_answer(self._leaving.item_id):
                self._session.dismiss(self._leaving.item_id, now)

    def _refuse(self, share: Share, now: float) -> None:
        """Answer the calls that are too many, without running them."""
        if not share.refused:
            return
        rounds = self._rounds
        self.effects.append(events.ToolsRefused(len(share.refused), share.refused[0].name, rounds.count))
        for call in share.refused:
            self._answer(call.call_id, share.why, now, needs_response=share.reminds)
        if rounds.hopeless:
            cause = "the model calls functions again and again instead of speaking to the caller"
            self.effects.append(self._failed(cause, MODEL_SILENT))

    def tool_ended(self, call: rt.ToolCall, output: str, *, ok: bool, kind: str, now: float) -> None:
        """A tool of the site's has its result: ``output``, JSON text."""
        if self._early_tools.ended(call.call_id, output, ok=ok, kind=kind, now=now):
            return
        since = self._open_calls.since(call.call_id)
        seconds = None if since is None else now - since
        self._tell_result(call, output, ok=ok, kind=kind, seconds=seconds, now=now)

    def _tell_result(
        self, call: rt.ToolCall, output: str, *, ok: bool, kind: str, seconds: float | None, now: float
    ) -> None:
        self.effects.append(events.ToolEnded(call.call_id, call.name, output, ok, kind, seconds))
        self._answer(call.call_id, output, now)
        self._tell_busy(now)

    def _answer_builtin(self, call_id: str, name: str, output: str, now: float, *, needs_response: bool = True) -> None:
        """One of ariagent's own tools has its result. The record has it for a process that takes the call over."""
        self.effects.append(events.ToolEnded(call_id, name, output))
        self._answer(call_id, output, now, needs_response=needs_response)

    def _answer(self, call_id: str, output: str, now: float, *, needs_response: bool = True) -> None:
        """Give the model a tool's result; ``needs_response``: it has something to say about it."""
        self._prompts.end(call_id)
        name = self._open_calls.name(call_id)
        asks = self._open_calls.answered(call_id, needs_response=needs_response)
        if asks is None:
            return
        self._history.answered(call_id, output)
        if not self._session.answer_tool(call_id, output):
            self._conversation.note(notes.late_result_note(name, output))
        if asks:
            must_speak = self._rounds.must_speak
            if must_speak:
                self._conversation.note(notes.speak_note(MOST_ROUNDS))
            self._session.request_response(now, tools=not must_speak)

    def _complete(self, reason: str, now: float) -> None:
        """A reply broke off: the model continues, or says why it cannot."""
        if self._incomplete_replies < MOST_INCOMPLETE_REPLIES:
            self._incomplete_replies += 1
            self.tell(notes.incomplete_reply_note(reason), now)

    def _tell_busy(self, now: float) -> None:
        if self._policy is not None:
            self._policy.busy(self._busy, now)

    def _play_prompt(self, prompt: str) -> None:
        """Something takes its time: let the caller know, unless somebody is talking."""
        waits = self._conversation.quiet or (self._provider_tools.running and self._playout.idle)
        if self._caller_speaks or not waits:
            return
        audio = None if prompt == TONE else self._phrase(prompt, self.role.language)
        self._conversation.play(waiting_tone(self._format) if audio is None else audio)
        self.effects += (events.WaitingPromptPlayed(TONE if audio is None else prompt), _SPEECH_READY)

    # -- what follows -----------------------------------------------------------------------------

    def _happened(self, happened: Iterable[Happened], now: float) -> None:
        """Remember what the conversation says, and let the rules see it."""
        for event in happened if self._parts is None else self._parts.joined(happened, now):
            self._remember(event, now)

    def _remember(self, event: Happened, now: float) -> None:
        self.effects.append(event)
        if isinstance(event, JudgeTurn | StopJudging):
            return
        if self._policy is not None:
            self._policy.happened(event, now)
        match event:
            case events.CallerBegan():
                self._caller_speaks = self._talked = True
                self._incomplete_replies = 0
                self._rounds.caller_heard()
                self._decide(self._leaving.caller_speaks(now), now)
            case events.CallerEnded():
                self._caller_speaks = False
                self._leaving.caller_fell_silent(now)
            case events.AgentBegan(item_id=item_id) if not item_id.startswith(PHRASE):
                self._rounds.agent_heard()
            case events.AnswerDiscarded():
                self._early_tools.discard()
            case events.ResponseFailed(continues=True, reason=reason):
                self._complete(reason, now)
            case events.CallerSaid(text=str(text), item_id=item_id):
                self._history.said("caller", text, item_id)
                self._decide(self._leaving.caller_said(item_id, text), now)
            case events.CallerSaid(item_id=item_id):
                self._decide(self._leaving.caller_said(item_id, None), now)
            case events.AgentSaid(text=text, item_id=item_id):
                self._history.said("agent", text, item_id)
            case events.Interrupted(item_id=item_id, heard_ms=heard_ms, dropped_ms=dropped_ms):
                self._history.cut(item_id, heard_ms / max(heard_ms + dropped_ms, 1.0))

    def _act(self, actions: Iterable[Action], now: float) -> None:
        """Carry out what the call's rules ask for."""
        for action in actions:
            match action:
                case TellModel(note=note):
                    self._conversation.tell(note, now)
                case GiveDigits(digits=digits):
                    self.effects.append(events.DigitsGiven(digits))
                    self._happened(self._conversation.give_digits(digits, now), now)
                    self._history.said("caller", PRESSED.format(digits=digits))
                case DigitsCollected(call_id=call_id, output=output):
                    self._answer_builtin(call_id, "collect_digits", output, now)
                    self._tell_busy(now)
                case HumanWanted():
                    self.effects.append(self._to_human())
                case EndRequested() | NobodyThere():
                    self.effects.append(action)
                case _:
                    assert_never(action)

    def _to_human(self) -> Effect:
        """The caller wants a human agent: the first destination; without any, the dialplan's human queue."""
        if (first := self._tools.destinations.first) is None:
            return FallbackRequested("caller_pressed_person")
        wanted = Handoff(*first, by="caller", reason="the caller pressed a key for a person")
        return WarmTransferRequested(wanted) if wanted.kind == "warm" else TransferRequested(wanted)
