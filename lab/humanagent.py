"""A human agent in the human queue, for the demo: a SIP phone that rings, is answered, hears the summary and talks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from ariagent.audio.format import SLIN8, SLIN24, AudioFormat
from ariagent.caller.ears import level_dbfs
from ariagent.caller.recognise import Recogniser
from ariagent.caller.voice import Voice
from lab.asterisk import AsteriskInstance
from lab.call import Call
from lab.phone import Phone

USER = "1001"
RINGS_S = 3.0
"""How long the human agent takes to pick up; the summary is made meanwhile."""
QUIET_S = 1.0
"""A summary is over when nothing was heard for so long."""
BREATH_S = 1.5
"""Before the human agent speaks: the caller is to hear that the music has ended."""
WAITS_S = 120.0
LOUD_DBFS = -45.0


@dataclass(slots=True)
class Encounter:
    """The human agent's side of a call: what they saw and heard."""

    shown: str = ""
    """The caller's name and number on the display."""
    summary_shown: str = ""
    """The summary in the call's header."""
    heard: str | None = None
    """The words before the caller was there, as a recogniser understood them; None where none was asked."""
    heard_s: float = 0.0
    likeness: float = 0.0
    """How like the file that the service had put in place it was: the correlation, 1 is the same."""
    caller_heard_s: float = 0.0
    """How much of the caller was heard."""
    failed: str = ""


async def take_a_call(
    asterisk: AsteriskInstance,
    announcements: Path,
    voice: Voice,
    greeting: str,
    tell: Callable[[str], None],
    *,
    guess: bool = False,
) -> Encounter:
    """Be there until one call was taken and is over; ``tell`` gets what happens, line by line.

    ``guess``: have a recogniser say what it understood of the summary.
    """
    met = Encounter()
    address = (asterisk.sip_host, asterisk.sip_port)
    async with (
        Phone(address, user=USER, password=asterisk.phone_passwords[USER]) as phone,
        Recogniser(early=guess) as recogniser,
    ):
        await phone.register()
        try:
            call = await phone.incoming(WAITS_S)
            _read(call, met)
            tell(f"the phone {USER} rings and shows {met.shown}; X-Ariagent-Summary: {met.summary_shown}")
            await asyncio.sleep(RINGS_S)
            file = next(iter(announcements.glob("announcement-*.sln24")), None)
            spoken = np.frombuffer(file.read_bytes() if file is not None else b"", "<i2")
            await call.answer()
            await _until_quiet(call)
            summary = call.heard(SLIN8.rate_hz)
            met.heard_s = _loud_s(summary, SLIN8)
            met.likeness = likeness(spoken, summary)
            tell(f"{USER} answers and hears the summary first ({met.heard_s:.1f} s)")
            await asyncio.sleep(BREATH_S)
            await call.play(np.frombuffer(await voice.say(greeting), "<i2"), SLIN8.rate_hz)
            tell(f"{USER} says: {greeting}")
            since = len(call.heard(SLIN8.rate_hz))
            await call.ended(60)
            met.caller_heard_s = _loud_s(call.heard(SLIN8.rate_hz)[since:], SLIN8)
            if guess:
                met.heard = await recogniser.words(summary.tobytes(), SLIN8)
                tell(f"the summary sounds like: {met.heard}")
        except TimeoutError:
            met.failed = "nobody called, or the call did not end"
    return met


def likeness(spoken: np.ndarray, heard: np.ndarray) -> float:
    """How well ``spoken`` (24 kHz) is found again in ``heard`` (8 kHz): the best correlation, 0 to 1."""
    if not len(spoken) or not len(heard):
        return 0.0
    wanted = soxr.resample(spoken.astype(np.float32), SLIN24.rate_hz, SLIN8.rate_hz)
    size = 1 << int(np.ceil(np.log2(len(wanted) + len(heard))))
    found = np.fft.irfft(np.fft.rfft(heard.astype(np.float32), size) * np.conj(np.fft.rfft(wanted, size)), size)
    at = int(np.argmax(found[: len(heard)]))
    part = heard[at : at + len(wanted)].astype(np.float32)
    return float(np.dot(wanted[: len(part)], part) / (np.linalg.norm(wanted) * np.linalg.norm(part) + 1e-9))


def _read(call: Call, met: Encounter) -> None:
    headers = call.invite.headers if call.invite is not None else None
    if headers is not None:
        met.shown = headers.get("from").partition(";")[0]
        met.summary_shown = headers.get("x-ariagent-summary")


async def _until_quiet(call: Call) -> None:
    """Until something was heard, and then nothing for a while."""
    deadline = time.monotonic() + WAITS_S
    while time.monotonic() < deadline:
        heard = call.heard(SLIN8.rate_hz)
        tail = int(QUIET_S * SLIN8.rate_hz)
        if len(heard) > 2 * tail and _loud_s(heard, SLIN8) and not _loud_s(heard[-tail:], SLIN8):
            return
        await asyncio.sleep(0.1)


def _loud_s(samples: np.ndarray, fmt: AudioFormat) -> float:
    """How much of it is louder than silence."""
    frames = [samples[at : at + fmt.frame_samples] for at in range(0, len(samples), fmt.frame_samples)]
    return sum(level_dbfs(frame.tobytes()) > LOUD_DBFS for frame in frames) * 0.02
