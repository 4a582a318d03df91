"""Decides which response is made when, and from what (CORE)."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ariagent.sandbox import audio as sound
from ariagent.sandbox.items import Item, parse_item
from ariagent.sandbox.known import known, only_last_system
from ariagent.sandbox.mcp import McpServers
from ariagent.sandbox.notes import PREFIX
from ariagent.sandbox.responses import Pace, Response, Tone
from ariagent.sandbox.scenario import Call, Fail, Mcp, Say, Situation, Step, code_words, words_to_say
from ariagent.sandbox.schema import ApiError
from ariagent.sandbox.settings import ResponseSettings, is_reasoning_model, response_settings
from ariagent.sandbox.state import State
from ariagent.sandbox.usage import Cost, context, fit, response_usage, shared_prefix

Json = dict[str, Any]

RATE_LIMITS_AFTER = 0.04
"""Seconds from response.done to rate_limits.updated, as seen on the live API."""
TOKENS_PER_MINUTE = 40_000
_RECOGNISER_PATIENCE = 10.0
BREATH_MS = 200
"""How long a response is that says nothing."""


class Responding:
    """The responses of a session: at most one at a time in the conversation, any number out of band.

    ``done(playback_ends)`` is called after each response of the conversation, with the wall time at which a caller who
    hears it in real time has heard it all. ``made_from(conversation)`` is called with what each response is made from.
    """

    def __init__(
        self,
        state: State,
        mcp: McpServers,
        done: Callable[[float], None],
        made_from: Callable[[Json], None] = lambda _: None,
    ) -> None:
        self._state = state
        self._mcp = mcp
        self._done = done
        self._made_from = made_from
        self._owed: Item | None = None
        """The turn whose answer waits until the running response is done (fault ``hold_stop``)."""
        self._responses: dict[str, Response] = {}
        self.active: Response | None = None
        self._count = 0
        self._waiting: dict[str, list[tuple[Response, list[Item]]]] = {}
        self._last_context: list[Cost] = []
        self._tokens_used = 0
        self._tones: dict[str, bytes] = {}

    @property
    def busy(self) -> bool:
        """Whether any response is in progress."""
        return bool(self._responses)

    # -- what the client and the turn detection ask for --

    def create(self, given: Any, now: float) -> None:
        """A response.create. Raises :class:`ApiError`."""
        settings = response_settings(self._state.settings, given)
        self._check_free(settings)
        if self._fault("pending_calls") and settings.default_conversation and self._call_pending():
            message = "Cannot create a response while function call outputs are pending."
            raise ApiError(None, message, kind="function_call_output_pending")
        self._mcp.list_tools(settings.tools, now)
        items = self._input(settings)
        if self._silent():
            return
        response = self._start(settings, now)
        self._plan(response, items, now)

    def answer(self, item: Item, now: float) -> None:
        """A turn was committed and is to be answered."""
        if self._fault("hold_stop") and self.active is not None:
            self._owed = item
            return
        settings = response_settings(self._state.settings, None)
        try:
            self._check_free(settings)
        except ApiError as error:
            self._state.line.refuse(error, None)
            return
        if self._silent():
            return
        response = self._start(settings, now)
        if self._fault("pending_calls") and self._call_pending():
            message = "The provider rejected the request: a function call has no output."
            self._state.line.refuse(ApiError(None, message, kind="response_failed"), None)
            response.pace.ready_at = now
            response.set_plan([Fail("response_failed", None, message)], now)
            return
        self._plan(response, list(self._state.conversation), now)

    def _fault(self, name: str) -> bool:
        return self._state.options.faults.get(name) is not None

    def _call_pending(self) -> bool:
        answered = {item.call_id for item in self._state.conversation if item.type == "function_call_output"}
        calls = (item for item in self._state.conversation if item.type == "function_call")
        return any(call.call_id not in answered for call in calls if call.status == "completed")

    def _silent(self) -> bool:
        """Whether the response that is to be made now never is."""
        if self._state.options.faults.get("silent", self._count + 1) is None:
            return False
        self._count += 1
        return True

    def interrupt(self, now: float) -> None:
        """The caller speaks: cancel the response that is in progress in the conversation."""
        if self.active is not None:
            self.active.cancel("turn_detected", now, self._state.options.late_deltas)

    def cancel(self, response_id: Any, now: float) -> None:
        """A response.cancel. Raises :class:`ApiError`."""
        response = self.active if response_id is None else self._responses.get(response_id)
        if response is None:
            raise ApiError("response_cancel_not_active", "Cancellation failed: no active response found")
        response.cancel("client_cancelled", now)

    def reflex(self, now: float) -> None:
        """Answer with a tone, at once."""
        if self.active is not None:
            return
        response = self._start(response_settings(self._state.settings, None), now)
        response.pace.ready_at = now
        response.pace.speed = 0
        response.set_plan([Tone(self._tone(response.format))], now)

    def _tone(self, fmt: sound.WireFormat) -> bytes:
        if fmt.name not in self._tones:
            options = self._state.options
            self._tones[fmt.name] = fmt.encode(sound.tone(options.reflex_ms, fmt.rate_hz, options.reflex_hz))
        return self._tones[fmt.name]

    # -- what the driver brings --

    def recognised(self, item_id: str, now: float) -> None:
        """It is known what was said in an item."""
        for response, items in self._waiting.pop(item_id, []):
            self._plan(response, items, now)

    def speech_ready(self, key: str, audio: bytes, now: float) -> None:
        """Speech that a response asked for."""
        response_id, _, text = key.partition("|")
        if (response := self._responses.get(response_id)) is not None:
            response.speech_ready(text, audio, now)

    # -- making of --

    def _check_free(self, settings: ResponseSettings) -> None:
        if self._fault("no_parallel") and self._responses:
            message = "Cannot create response while another response is in progress or pending."
            raise ApiError(None, message, kind="conversation_already_has_active_response")
        if settings.default_conversation and self.active is not None:
            raise ApiError(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self.active.id}. "
                "Wait until the response is finished before creating a new one.",
            )

    def _input(self, settings: ResponseSettings) -> list[Item]:
        if settings.input is None:
            return list(self._state.conversation)
        items = []
        for index, shape in enumerate(settings.input):
            param = f"response.input[{index}]"
            if isinstance(shape, dict) and shape.get("type") == "item_reference":
                items.append(self._state.conversation.find(shape.get("id"), "retrieve"))
            else:
                ids = self._state.line.ids
                items.append(parse_item(shape, ids.next("item"), ids.next("call"), param))
        return items

    def _start(self, settings: ResponseSettings, now: float) -> Response:
        state = self._state
        self._count += 1
        items = list(state.conversation) if settings.input is None else []

        def usage(output: Cost) -> Json:
            return self._usage(settings, items, output)

        response = Response(
            id=state.line.ids.next("resp"),
            number=self._count,
            settings=settings,
            pace=Pace(now + state.options.think_ms / 1000, state.options.generation_speed),
            line=state.line,
            conversation=state.conversation,
            conversation_id=state.conversation_id if settings.default_conversation else None,
            faults=state.options.faults,
            on_done=self._finished,
            usage=usage,
            mcp=self._mcp,
            phases=is_reasoning_model(state.settings.get("model") or ""),
        )
        self._responses[response.id] = response
        if response.in_default_conversation:
            self.active = response
            if state.line.holding:
                state.line.hold(response.id)
        response.begin(now)
        return response

    def _usage(self, settings: ResponseSettings, items: list[Item], output: Cost) -> Json:
        costs = context(settings.instructions, settings.tools, items)
        truncation = self._state.settings.get("truncation", "auto")
        limit, keep = self._state.options.context_tokens, 1.0
        if isinstance(truncation, dict):
            keep = truncation["retention_ratio"]
            limit = (truncation.get("token_limits") or {}).get("post_instructions", limit)
        if truncation != "disabled":
            costs = fit(costs, limit, keep)
        cached = shared_prefix(self._last_context, costs)
        if settings.default_conversation:
            self._last_context = costs
        usage = response_usage(costs, cached, output, billed=self._state.options.billed)
        self._tokens_used += usage["total_tokens"]
        return usage

    def _finished(self, response: Response, now: float) -> None:
        del self._responses[response.id]
        if response.audio_started_at is not None:
            self._state.voice_locked = True
        if self.active is response:
            self.active = None
        self._state.line.at(now + RATE_LIMITS_AFTER, self._rate_limits)
        for call, step, index in response.running:
            self._mcp.run(call, step, index, now)
        if response.in_default_conversation:
            self._state.line.release()
            # Documented as the time of response.done plus the playback duration of its audio.
            self._done(now + response.audio_ms / 1000)
        owed, self._owed = self._owed, None
        if owed is not None:
            self.answer(owed, now)

    def _rate_limits(self, _: float) -> None:
        left = max(0, TOKENS_PER_MINUTE - self._tokens_used)
        reset = round(60 * (TOKENS_PER_MINUTE - left) / TOKENS_PER_MINUTE, 3)
        limits = [{"name": "tokens", "limit": TOKENS_PER_MINUTE, "remaining": left, "reset_seconds": reset}]
        self._state.line.emit("rate_limits.updated", rate_limits=limits)

    # -- planning --

    def _plan(self, response: Response, items: list[Item], now: float) -> None:
        if not response.active:
            return
        unheard = [item.id for item in items if not self._state.is_heard(item.id)]
        if unheard:
            self._waiting.setdefault(unheard[-1], []).append((response, items))
            self._state.line.at(now + _RECOGNISER_PATIENCE, lambda then: self._give_up(unheard[-1], then))
            return
        response.set_plan(self._steps(response, self._known(items)), now)

    def _known(self, items: list[Item]) -> list[Item]:
        return only_last_system(items) if self._fault("one_system") else items

    def _give_up(self, item_id: str, now: float) -> None:
        if not self._state.is_heard(item_id):
            for known in (self._state.heard, self._state.together):
                if known.get(item_id, "") is None:
                    known[item_id] = ""
            self.recognised(item_id, now)

    def _steps(self, response: Response, items: list[Item]) -> Sequence[Step | Tone]:
        scenario = self._state.scenario
        settings = response.settings
        situation = self._situation(settings, items)
        steps: list[Step]
        rule = ""
        if settings.instructions_given and (words := words_to_say(settings.instructions)):
            rule, steps = "said as asked", [Say((self._state.paraphrases.said(words),))]
        elif settings.instructions_given and (words := code_words(settings.instructions, _system(items))):
            rule, steps = "code words", [Say((words,))]
        elif not settings.default_conversation and not _rule_for(situation, scenario.rules):
            rule, steps = "summary", [Say((self._summary(items),))]
        elif (
            situation.said is None
            and situation.note is None
            and situation.digits is None
            and situation.tool_result is None
            and not (situation.silence or any(item.role == "assistant" for item in items))
        ):
            rule, steps = "opening", scenario.fill(scenario.opening, situation, response.number, {})
        else:
            rule, steps = scenario.plan(situation, response.number)
        self._made_from(
            {
                "session": self._state.settings["id"],
                "response": response.id,
                "conversation_id": response.conversation_id,
                "metadata": settings.metadata,
                "instructions": settings.instructions,
                "tools": list(situation.tools),
                "items": known(items, self._state.heard),
                "rule": rule,
            }
        )
        if not steps and situation.note is not None and "audio" in settings.modalities:
            # Not a response with nothing in it, which is a fault: somebody draws breath, and says nothing.
            return [Tone(response.format.silence(BREATH_MS))]
        return _with_forced_call(steps, settings, situation)

    def _situation(self, settings: ResponseSettings, items: list[Item]) -> Situation:
        functions = [tool["name"] for tool in settings.tools if tool["type"] == "function"]
        tools = [] if settings.tool_choice == "none" else [*functions, *self._mcp.offered(settings.tools)]
        turn = sum(item.role == "user" and not item.words.startswith(PREFIX) for item in items)
        turn -= sum(item.id in self._state.together for item in items)  # they continue the item before
        base = Situation(turn=turn, metadata=settings.metadata or {}, tools=tools)
        note: str | None = None
        for item in reversed(items):
            if item.role == "assistant":
                break
            if item.type in ("function_call_output", "mcp_call"):
                if item.status != "completed":
                    continue  # an MCP tool that still runs, or never will
                if note is not None:
                    break  # what the system says after a tool's result is about something else
                if item.type == "mcp_call":
                    output = json.dumps({"error": item.error["message"]}) if item.error else item.output
                    return _but(base, tool_result=item.name, output=output)
                name = next((call.name for call in items if call.name and call.call_id == item.call_id), "")
                return _but(base, tool_result=name or "?", output=item.output)
            if item.type != "message":
                continue
            if item.id in self._state.heard:
                said = self._state.heard[item.id]
                together = self._state.together.get(item.id) or None
                return _but(base, said=said or together, together=together, silence=not (said or together))
            is_note = item.words.startswith(PREFIX)
            if not is_note and (digits := self._state.scenario.digits_in(item.words)):
                return _but(base, digits=digits)
            if not is_note and item.role == "user":
                return _but(base, said=item.words)
            note = note or item.words
        return _but(base, note=note)

    def _summary(self, items: Iterable[Item]) -> str:
        lines = []
        for item in items:
            words = item.words or self._state.heard.get(item.id)
            if item.words.startswith(PREFIX):
                continue
            if item.type == "message" and words and item.role in ("user", "assistant"):
                lines.append(f"{'Caller' if item.role == 'user' else 'Agent'}: {words}")
        return "\n".join(lines[-6:]) or "Nothing was said."


def _system(items: Iterable[Item]) -> list[str]:
    """The texts of the system messages."""
    return [item.words for item in items if item.role == "system"]


def _rule_for(situation: Situation, rules: Iterable[Any]) -> bool:
    return any(rule.when.metadata and rule.when.match(situation) is not None for rule in rules)


def _but(situation: Situation, **changes: Any) -> Situation:
    fields = {name: getattr(situation, name) for name in ("turn", "metadata", "tools")}
    return Situation(**{**fields, **changes})


def _with_forced_call(steps: list[Step], settings: ResponseSettings, situation: Situation) -> list[Step]:
    """``tool_choice`` may demand a call, of any function or of a certain one."""
    choice = settings.tool_choice
    functions = [name for name in situation.tools if "/" not in name]
    forced = choice.get("name") if isinstance(choice, dict) and choice["type"] == "function" else None
    if choice == "required" and not any(isinstance(step, Call | Mcp) for step in steps) and functions:
        forced = functions[0]
    return [Call((forced,), {})] if forced else steps
