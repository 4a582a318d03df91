"""A synthetic caller: places a call, follows a script, measures every turn.

    report = await hold_call(settings, plan, narrator)

A turn's latency is counted as the caller has it: from the last loud frame of its speech, when it is handed to
Asterisk, to the first loud frame of the answer, when it arrives. The agent's words are recognised beside the call;
``expect`` is judged as soon as the words are there and does not hold the conversation up.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ariagent import privatefile
from ariagent.caller import script as do
from ariagent.caller.ears import Utterance
from ariagent.caller.leg import CAUSES, Leg
from ariagent.caller.line import Line
from ariagent.caller.noise import Noise, NoiseMaker, active_level_dbfs, placed
from ariagent.caller.plan import CallPlan, no_extension, unknown_words
from ariagent.caller.recognise import Recogniser
from ariagent.caller.recorded import recorded
from ariagent.caller.report import (
    After,
    CallReport,
    Digits,
    Entry,
    Failure,
    Interruption,
    Narrator,
    TalkedOver,
    Turn,
    Wait,
)
from ariagent.caller.truewords import TrueWords, true_words
from ariagent.caller.voice import MARGIN_MS, Voice, recording, tool_of
from ariagent.caller.whynot import causes
from ariagent.caller.words import has_phrase
from ariagent.config import Settings
from ariagent.errors import AriError, ConfigurationError

T = TypeVar("T")

RECOGNITION_LIMIT_S = 60.0
"""For what is still to be recognised when the call is over."""
PAUSE_S = 0.3
"""The agent has finished a remark when it is quiet for this long while the caller speaks."""
STOPPED_S = 0.5
"""An interrupted agent that is quiet for this long has stopped; its answer to the interruption comes later."""
LONGEST_ANSWER_S = 60.0
"""A longer sound is no answer but, most likely, hold music."""
SHORTEST_ANSWER_S = 0.3
"""A shorter sound is no answer: the tone that a slow tool makes takes 0.1 s, and spoken, even "yes" takes longer."""
NOISE_LASTS_S = 30.0
"""Then the noise around the caller starts over."""
USUAL_SPEECH_DBFS = -20.0
"""The level that noise is placed below where the caller says nothing."""


class StepFailedError(Exception):
    """A step did not go as the script expects; the message says how."""


class GivenAwayError(StepFailedError):
    """Somebody else than the AI has got the call."""


async def hold_call(settings: Settings, plan: CallPlan, narrator: Narrator) -> CallReport:
    """Hold one call from its first ring to its end. Nothing of it is left in Asterisk afterwards, also when cancelled.

    Raises ConfigurationError for what is wrong before the call, AriError where Asterisk cannot be reached; everything
    that goes otherwise than expected in the call itself is in the report.
    """
    async with (
        Recogniser(early=plan.guesses) as recogniser,
        Leg(settings.asterisk, settings.audiosocket) as leg,
        true_words(settings, leg.channel) as words,
    ):
        fmt = await leg.connect()
        line = Line(fmt, keep=plan.record_dir is not None)
        caller = _Caller(settings, plan, leg, line, recogniser, words, narrator)
        await caller.rehearse()
        await leg.prepare(line)
        try:
            await caller.hold()
        finally:
            narrator.end()
    if plan.record_dir is not None:
        caller.report.recording = str(plan.record_dir / "call.wav")
        await asyncio.to_thread(_keep, plan.record_dir, line, caller.report)
    return caller.report


def _keep(folder: Path, line: Line, report: CallReport) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        line.write(folder / "call.wav")
        privatefile.write(folder / "call.json", json.dumps(report.document(), indent=1) + "\n")
    except OSError as error:
        raise ConfigurationError(f"the recording cannot be written: {error}") from None


class _Caller:
    """One call while it is held."""

    def __init__(
        self,
        settings: Settings,
        plan: CallPlan,
        leg: Leg,
        line: Line,
        recogniser: Recogniser,
        words: TrueWords | None,
        narrator: Narrator,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._leg = leg
        self._line = line
        self._ear = line.ear
        self._recogniser = recogniser
        self._true_words = words
        self._asking = asyncio.Lock()
        self._narrator = narrator
        self._speech: dict[int, bytes] = {}
        self._voice: Voice | None = None
        self._began_at = 0.0
        self._deadline = 0.0
        self._since: tuple[float, After] | None = None
        """Start of the latency of the next answer."""
        self._last_answer: asyncio.Task[Turn] | None = None
        self._beside: set[asyncio.Task[Any]] = set()
        self.report = CallReport(plan.extension, leg.channel, str(line.format))

    async def rehearse(self) -> None:
        """Make everything that will be said, before the call: synthesis must not show up as the caller's hesitation."""
        plan, fmt = self._plan, self._line.format
        for index, step in enumerate(plan.script.steps):
            try:
                match step:
                    case do.Say():
                        self._speech[index] = await self._sentence(step)
                    case do.Interrupt():
                        self._speech[index] = await self._words(step.text)
                    case do.Play():
                        self._speech[index] = await asyncio.to_thread(recording, step.path, fmt)
            except ConfigurationError as error:
                raise ConfigurationError(f"{plan.script.place(index)}: {error}", remedy=error.remedy) from None
        if plan.script.noise is not None:
            self._line.surround(await self._noise(plan.script.noise))

    async def _sentence(self, step: do.Say) -> bytes:
        """A sentence as PCM, with its pauses."""
        fmt = self._line.format
        pcm = await self._words(step.text)
        for part in step.more:
            # The ends of spoken words are silent for a moment.
            pcm += fmt.silence(max(0.0, 1000 * part.pause_s - 2 * MARGIN_MS)) + await self._words(part.text)
        return pcm

    async def _words(self, text: str) -> bytes:
        """A sentence as PCM: as it was recorded, else spoken now."""
        plan = self._plan
        if (path := recorded(plan.script.voice, text)) is not None:
            return await asyncio.to_thread(recording, path, self._line.format)
        if self._voice is None:
            try:
                argv = await asyncio.to_thread(plan.find, tool_of(plan.script.voice))
            except ConfigurationError as error:
                cause = f'"{text}" is not among the recorded sentences, and {error}'
                raise ConfigurationError(cause, remedy=error.remedy) from None
            self._voice = Voice(argv, plan.script.voice, self._line.format, plan.speech_dir)
        return await self._voice.say(text)

    async def _noise(self, noise: Noise) -> bytes:
        fmt = self._line.format
        speech = np.frombuffer(b"".join(self._speech.values()), "<i2")
        level_dbfs = active_level_dbfs(speech, fmt.rate_hz) if len(speech) else USUAL_SPEECH_DBFS
        flite = await asyncio.to_thread(self._plan.find, "flite") if noise.kind == "babble" else []
        track = await NoiseMaker(flite, self._plan.speech_dir).track(noise.kind, NOISE_LASTS_S, noise.seed)
        return await asyncio.to_thread(placed, track, level_dbfs - noise.snr_db, fmt)

    # -- the call ---------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Call, do the steps, hang up, wait for what is still to be recognised."""
        report, plan = self.report, self._plan
        self._began_at = time.monotonic()
        self._deadline = self._began_at + plan.timeout_s
        report.placed_at = time.time()
        try:
            if await self._call():
                await self._steps()
            if not self._leg.left.is_set():
                report.ended_by = "caller"
                await self._hang_up()
            report.duration_s = self._now()
            for since, until in self._line.silences.waits:
                report.waits.append(Wait(since - self._began_at, until - self._began_at))
            for cut_in in self._line.sentences.cut_ins():
                start_s, heard_ms = cut_in.began_at - self._began_at, 1000 * cut_in.lasted_s
                report.talked_over.append(TalkedOver(start_s, heard_ms, cut_in.text))
            self._close_utterance(interrupted=False)
            self._say_how_it_ended()
            if report.outcome != "not_answered":
                await self._say_who_answered()
            if self._beside:
                await asyncio.wait(self._beside, timeout=RECOGNITION_LIMIT_S)
        finally:
            for task in self._beside:
                task.cancel()
        for task in self._beside:
            if task.done() and not task.cancelled() and (fault := task.exception()) is not None:
                raise fault
        if report.failures and report.outcome == "ok":
            report.outcome = "failed"

    async def _call(self) -> bool:
        """Place the call; returns whether it was answered."""
        plan, leg = self._plan, self._leg
        if await leg.has_extension(plan.extension, plan.context) is False:
            return self._not_answered(no_extension(plan, await leg.contexts_with(plan.extension)))
        # m: with music on hold of its own a Local channel (22.10.1) at times passes no audio on afterwards.
        endpoint = f"Local/{plan.extension}@{plan.context}/nm"
        self._narrate("caller", f"(calls {endpoint}, audio {self.report.audio})")
        try:
            await leg.place(endpoint, caller_id=plan.caller_id, ring_s=plan.answer_within_s)
        except AriError as error:
            return self._not_answered(error.line)
        limit = min(self._began_at + plan.answer_within_s + 5.0, self._deadline)
        await self._line.until(lambda now: leg.answered.is_set() or leg.left.is_set() or None, limit)
        if leg.answered_at is None or not leg.answered.is_set():
            return self._not_answered(leg.lost or await self._why_not_answered())
        self.report.answered_after_ms = 1000 * (leg.answered_at - self._began_at)
        self._since = (leg.answered_at, "answer")
        self._line.silences.begin(leg.answered_at)
        self._narrate("agent", "(answers)", self.report.answered_after_ms, at_s=leg.answered_at - self._began_at)
        return True

    async def _why_not_answered(self) -> str:
        leg, step = self._leg, self._leg.answerer.step
        if not leg.left.is_set():
            what = f"still ringing after {self._now():.0f} s"
        elif not leg.cause:
            what = "the dialplan ended the call without an answer"
        else:
            what = CAUSES.get(leg.cause, f"Q.850 cause {leg.cause}")
        where = f" at {step.context},{step.extension},{step.priority}: {step}" if step is not None else ""
        tried_ai = leg.answerer.ai_queue or leg.answerer.why_not
        why = await causes(self._settings, leg.answerer) if tried_ai else []
        return f"{what}{where}" + "".join(f"; {cause}" for cause in why)

    async def _hang_up(self) -> None:
        """End the call; who has it is looked at as long as somebody has."""
        await self._leg.look_for_ai()
        await self._leg.hang_up()

    async def _say_who_answered(self) -> None:
        """The call was answered: by the AI, or else why not."""
        report, answerer = self.report, self._leg.answerer
        report.answered_by, report.answered = answerer.who, answerer.answered
        if answerer.broke_off and not self._plan.anyone:
            self._fail("call", f"the AI gave the call back: {answerer.broke_off}")
        elif self._in_others_hands:
            why = await causes(self._settings, answerer)
            # The steps may have met somebody else than the AI: their findings do not count.
            report.failures.clear()
            report.outcome = "not_taken"
            self._fail("call", f"the AI did not take this call: {'; '.join([*why, answerer.answered])}")

    def _not_answered(self, cause: str) -> bool:
        self.report.outcome = "not_answered"
        self._fail("call", cause)
        return False

    async def _steps(self) -> None:
        script = self._plan.script
        for index, step in enumerate(script.steps):
            place = script.place(index)
            self.report.steps_began_s.append(self._now())
            try:
                await self._step(index, step, place)
            except GivenAwayError:
                return
            except StepFailedError as error:
                if not self._in_others_hands:  # else that is what is wrong
                    self._fail(place, str(error))
                return
            except AriError as error:
                self._fail(place, error.line)
                return

    async def _step(self, index: int, step: do.Step, place: str) -> None:
        if self._leg.left.is_set() and not isinstance(step, do.HangUp | do.ExpectHangup | do.Expect):
            raise StepFailedError(self._leg.lost or "the other side had hung up")
        match step:
            case do.Say():
                await self._speak(self._speech[index], " ... ".join(step.texts))
            case do.Play(path=path):
                await self._speak(self._speech[index], f"({path.name})")
            case do.WaitAnswer():
                await self._wait_answer(step)
            case do.Interrupt():
                await self._interrupt(step, self._speech[index])
            case do.Press(digits=digits):
                await self._press(digits)
            case do.Silence(duration_s=duration_s):
                await self._be_silent(duration_s)
            case do.Expect():
                self._expect(step, place)
            case do.HangUp():
                self.report.ended_by = None if self._leg.left.is_set() else "caller"
                await self._hang_up()
            case do.ExpectHangup(within_s=within_s):
                await self._expect_hangup(within_s)

    # -- steps ------------------------------------------------------------------------------------

    async def _speak(self, pcm: bytes, text: str) -> None:
        """Say something to its last sound."""
        if self._ear.quiet_s(time.monotonic()) >= PAUSE_S:
            self._close_utterance(interrupted=False)
        self._line.say(pcm)
        self._narrate("caller", text)
        turn = Turn("caller", self._now(), self._now(), text)
        self.report.turns.append(turn)
        try:
            await self._spoken(turn)
        finally:
            if self._line.began_at is not None and self._line.last_loud_at is not None:
                self._line.sentences.said.append((self._line.began_at, self._line.last_loud_at, text))

    async def _spoken(self, turn: Turn) -> None:
        line = self._line
        await self._wait(lambda now: (not line.talking) or None, float("inf"))
        if line.began_at is not None and line.last_loud_at is not None:
            turn.start_s, turn.end_s = line.began_at - self._began_at, line.last_loud_at - self._began_at
            self._since = (line.last_loud_at, "speech")
        if self._line.ended or line.talking:
            raise StepFailedError(self._why_not("the line did not accept the caller's speech"))

    async def _wait_answer(self, step: do.WaitAnswer) -> None:
        ear = self._ear
        spoke_at = self._line.last_loud_at
        if ear.last_loud_at is not None and spoke_at is not None and ear.last_loud_at < spoke_at:
            self._close_utterance(interrupted=False)  # said before the caller had finished: no answer to that
        until = time.monotonic() + step.within_s
        while True:
            began = await self._wait(lambda now: ear.began_at, until - time.monotonic())
            if began is None:
                raise StepFailedError(self._why_not(f"no answer within {step.within_s:g} s"))
            await self._until_quiet(step.quiet_s)
            enough = ear.last_loud_at is not None and ear.last_loud_at - began >= SHORTEST_ANSWER_S
            await self._leg.look_for_ai()
            self._close_utterance(interrupted=False)
            if enough:
                return

    async def _until_quiet(self, quiet_s: float) -> None:
        """The agent speaks: wait until it has finished, or the call is over."""

        def over(now: float) -> bool | None:
            if self._ear.quiet_s(now) < quiet_s and not self._leg.left.is_set():
                return None
            return True

        if await self._wait(over, LONGEST_ANSWER_S) is None and not self._leg.left.is_set():
            self._close_utterance(interrupted=False)
            raise StepFailedError(self._why_not(f"the agent talked for {LONGEST_ANSWER_S:.0f} s without a pause"))

    async def _interrupt(self, step: do.Interrupt, pcm: bytes) -> None:
        ear, line = self._ear, self._line
        if ear.quiet_s(time.monotonic()) >= PAUSE_S:
            self._close_utterance(interrupted=False)
        began_at = await self._wait(lambda now: ear.began_at, 10.0)
        if began_at is None:
            raise StepFailedError(self._why_not("the agent did not speak, so it cannot be interrupted"))
        await self._wait(lambda now: now >= began_at + step.after_s or None, float("inf"))
        if ear.last_loud_at is None or ear.quiet_s(time.monotonic()) > 2 * STOPPED_S:
            spoke_s = (ear.last_loud_at or began_at) - began_at
            raise StepFailedError(f"the agent spoke for {spoke_s:.1f} s only, too short to interrupt")
        # The agent's words until here come first in the account; they end where it stops.
        self._line.say(pcm)
        entry = Entry(self._now(), "caller", f"{step.text}  (interrupts)")
        turn = Turn("caller", self._now(), self._now(), step.text)
        spoke_at = await self._wait(lambda now: line.began_at, 5.0)
        if spoke_at is None:
            raise StepFailedError(self._why_not("the interruption could not be said"))
        stopped = await self._wait(
            lambda now: ear.last_loud_at if ear.quiet_s(now) >= STOPPED_S else None, step.stop_within_s + STOPPED_S
        )
        self._close_utterance(interrupted=stopped is not None)
        self.report.turns.append(turn)
        self._narrator.add(entry)
        await self._spoken(turn)
        if stopped is None:
            raise StepFailedError(
                f"the agent was still talking {step.stop_within_s:g} s after the caller began to talk"
            )
        stopped_after_ms = max(0.0, 1000 * (stopped - spoke_at))
        self.report.interruptions.append(Interruption(spoke_at - self._began_at, stopped_after_ms))
        self._narrate("agent", f"(stops {stopped_after_ms:.0f} ms after the caller began to speak)")

    async def _press(self, digits: str) -> None:
        if self._ear.quiet_s(time.monotonic()) >= PAUSE_S:
            self._close_utterance(interrupted=False)
        await self._leg.press(digits)
        self._since = (time.monotonic(), "digits")
        self._line.silences.caller_heard(time.monotonic())
        self.report.digits.append(Digits(self._now(), digits))
        self._narrate("caller", f"(presses {digits})")

    def _expect(self, step: do.Expect, place: str) -> None:
        answer = self._last_answer
        if answer is None:
            self._fail(place, "the agent has not said anything")
            return
        self._run_beside(self._judge(answer, step, place))

    async def _judge(self, answer: asyncio.Task[Turn], step: do.Expect, place: str) -> None:
        turn = await asyncio.shield(answer)
        wanted = (" or " if step.any_of else " and ").join(f'"{word}"' for word in step.words)
        # The caller has heard the audio that came over the line, if a recogniser can understand it.
        said = turn.text if turn.heard is None else turn.heard
        if said is None:
            self._fail(place, f"cannot tell whether {wanted} was said: {unknown_words()}")
            return
        found = [has_phrase(said, word) for word in step.words]
        if not (any(found) if step.any_of else all(found)):
            how = "said" if turn.heard is None else "understood"
            self._fail(place, f'expected {wanted}, {how} "{said}"')

    async def _be_silent(self, duration_s: float) -> None:
        until = time.monotonic() + duration_s
        self._line.silences.excused.append((time.monotonic(), until))
        await self._wait(lambda now: now >= until or None, duration_s + 1.0)
        if time.monotonic() < until and not self._leg.left.is_set():
            raise StepFailedError(self._why_not("the silence was cut short"))

    async def _expect_hangup(self, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(within_s, self._deadline - time.monotonic()))):
                await self._leg.left.wait()
        if not self._leg.left.is_set():
            raise StepFailedError(self._why_not(f"the other side did not hang up within {within_s:g} s"))

    # -- small things -----------------------------------------------------------------------------

    async def _wait(self, found: Callable[[float], T | None], within_s: float) -> T | None:
        """Ask ``found(now)`` until it returns something; None when time, the call's time, or the call is over.

        Raises GivenAwayError when somebody else than the AI has got the call.
        """

        def look(now: float) -> tuple[T | None] | None:
            if self._given_away:
                return (None,)
            result = found(now)
            return None if result is None else (result,)

        result = await self._line.until(look, min(time.monotonic() + within_s, self._deadline))
        if self._given_away:
            raise GivenAwayError
        return None if result is None else result[0]

    @property
    def _given_away(self) -> bool:
        return self._leg.answerer.gave_up and not self._plan.anyone

    @property
    def _in_others_hands(self) -> bool:
        """The call is wanted to be the AI's, and is somebody else's."""
        return self._leg.answerer.who not in ("ai", "unknown") and not self._plan.anyone

    def _why_not(self, otherwise: str) -> str:
        if self._leg.left.is_set():
            return self._leg.lost or "the other side hung up"
        if self._line.ended:
            return f"the audio connection ended: {self._line.ended}"
        if time.monotonic() >= self._deadline:
            return f"the call took longer than {self._plan.timeout_s:g} s"
        return otherwise

    def _now(self) -> float:
        """Seconds since the call was placed."""
        return time.monotonic() - self._began_at

    def _narrate(self, who: str, text: str, latency_ms: float | None = None, at_s: float | None = None) -> None:
        self._narrator.add(Entry(self._now() if at_s is None else at_s, who, text, latency_ms))

    def _fail(self, step: str, cause: str) -> None:
        self.report.failures.append(Failure(step, cause))
        self._narrate("FAILED", f"{step}: {cause}")

    def _run_beside(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._beside.add(task)
        return task

    def _say_how_it_ended(self) -> None:
        if self.report.outcome == "not_answered":
            return
        by_caller = self.report.ended_by == "caller"
        self.report.ended_by = "caller" if by_caller else "other side"
        self._narrate("caller" if by_caller else "agent", "(hangs up)")

    def _close_utterance(self, *, interrupted: bool) -> None:
        """Close the agent's turn with the words that it has said so far."""
        utterance = self._ear.take()
        if utterance is None or (utterance.duration_s < SHORTEST_ANSWER_S and not interrupted):
            return
        turn = Turn("agent", utterance.began_at - self._began_at, utterance.ended_at - self._began_at)
        turn.interrupted = interrupted
        if self._since is not None:
            since, turn.after = self._since
            self._since = None
            if utterance.began_at >= since:
                turn.latency_ms = 1000 * (utterance.began_at - since)
        self.report.turns.append(turn)
        entry = Entry(turn.start_s, "agent", "", turn.latency_ms, ready=False)
        self._narrator.add(entry)
        self._last_answer = self._run_beside(self._worded(turn, utterance, entry))

    async def _worded(self, turn: Turn, utterance: Utterance, entry: Entry) -> Turn:
        """Find out what the agent said in a turn: its own words, else what a recogniser makes of them."""
        if self._true_words is not None and self._leg.answerer.ai:
            placed_at = self.report.placed_at
            # One after another: each of the agent's sentences belongs to the first turn that it fits.
            async with self._asking:
                turn.text = await self._true_words.said(
                    placed_at + turn.start_s, placed_at + turn.end_s, interrupted=turn.interrupted
                )
            turn.words_from = self._true_words.origin if turn.text is not None else None
        if self._plan.guesses or turn.text is None:
            turn.heard = await self._recogniser.words(utterance.pcm, self._line.format)
        if turn.text is None and turn.heard:
            turn.text, turn.words_from = turn.heard, "recogniser"
        entry.text = self._shown(turn, utterance)
        entry.ready = True
        self._narrator.update()
        return turn

    def _shown(self, turn: Turn, utterance: Utterance) -> str:
        guessed = turn.words_from == "recogniser"
        if turn.text is None or (guessed and not self._plan.shows_guesses):
            return f"(speaking {utterance.duration_s:.1f} s)"
        if guessed:
            return f"(sounds like) {turn.text}" + (" ..." if turn.interrupted else "")
        return turn.text + (f"  (sounds like: {turn.heard})" if self._plan.guess and turn.heard else "")
