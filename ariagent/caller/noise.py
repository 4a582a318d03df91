"""Noise around a synthetic caller: babble, a street, coughs; made here, the same for the same seed.

    track = await NoiseMaker(flite, cache_dir).track("babble", seconds=30, seed=1)
    noise = placed(track, speech_level_dbfs - snr_db, SLIN8)   # PCM at that level
    pcm = mixed(speech, noise)

A signal-to-noise ratio here is the difference of two active levels (``active_level_dbfs``): of the caller's speech and
of the noise while it lasts, both without what a telephone does not carry. Coughs at 10 dB are thus 10 dB weaker than
the caller's words while somebody coughs, however seldom that is.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ariagent.audio.format import AudioFormat
from ariagent.caller.ears import level_dbfs
from ariagent.caller.voice import Samples, converted, read_wav, trimmed, write_wav
from ariagent.synthesis.speaking import speak

Kind = Literal["babble", "street", "cough"]
KINDS: tuple[Kind, ...] = ("babble", "street", "cough")
Wave = NDArray[np.float64]

NOISE_HZ = 16_000
LOWEST_HZ, HIGHEST_HZ = 200.0, 3_800.0
"""The band in which noise is made and compared with speech: about a telephone's."""
_STEP = NOISE_HZ // 50
_ACTIVE_DB = 20.0
"""Steps of 20 ms that are within this of the loudest tenth belong to what is measured."""
_PEAK = 0.7
_VERSION = 1
"""Part of the name under which a track is kept: to be raised when the noises change."""

_TALKERS = (
    ("slt", 0.95, "Did you see the match on Sunday? They were two goals down and still won it in the last minute."),
    ("rms", 1.05, "The train was late again, so we walked along the river and had lunch at the market instead."),
    ("awb", 1.00, "I told her that the blue one is far too expensive, but she never listens to me about money."),
    ("kal16", 0.90, "Could somebody open a window, please? It has been very warm in here since the early morning."),
    ("slt", 1.15, "We moved house in the spring, and half of our things are still in boxes in my sister's garage."),
    ("rms", 0.85, "He says that the new machine is quicker, though nobody has ever seen it finish on time."),
    ("awb", 1.12, "My father used to grow tomatoes on the roof, and every summer he gave most of them away."),
    ("kal16", 1.10, "Two coffees and a piece of the apple cake, and then the bill, when you have a moment."),
)
"""The talkers of the babble: a flite voice, the stretch of its speech, what it says again and again."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise around the caller, from the call's first to its last moment."""

    kind: Kind
    snr_db: float
    """How much weaker it is than the caller's speech."""
    seed: int = 1


class NoiseMaker:
    """Makes tracks of noise. ``flite`` is the argv prefix that runs it; only babble needs it.

    With ``cache_dir`` a track is made once and kept there.
    """

    def __init__(self, flite: Sequence[str], cache_dir: Path | None = None) -> None:
        self._flite = tuple(flite)
        self._cache_dir = cache_dir

    async def track(self, kind: Kind, seconds: float, seed: int = 1) -> Samples:
        """Make this many seconds of noise at 16 kHz, its highest sample at 70 % of full scale.

        Raises ConfigurationError when flite fails.
        """
        kept = self._kept(f"{kind}-{seconds:g}-{seed}")
        if kept is not None and kept.exists():
            return read_wav(kept)[0]
        speeches = await self._speeches() if kind == "babble" else []
        samples = await asyncio.to_thread(noise_track, kind, seconds, seed, speeches)
        if kept is not None:
            await asyncio.to_thread(write_wav, kept, samples, NOISE_HZ)
        return samples

    def _kept(self, name: str) -> Path | None:
        if self._cache_dir is None:
            return None
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(repr((_VERSION, name, _TALKERS)).encode()).hexdigest()[:8]
        return self._cache_dir / f"noise-{name}-{digest}.wav"

    async def _speeches(self) -> list[Samples]:
        with tempfile.TemporaryDirectory(prefix="ariagent-noise-") as folder:
            speeches = []
            for index, (voice, stretch, text) in enumerate(_TALKERS):
                path = Path(folder) / f"{index}.wav"
                await speak(self._flite, voice, text, path, "--setf", f"duration_stretch={stretch}")
                samples, rate_hz = read_wav(path)
                speeches.append(trimmed(np.frombuffer(converted(samples, rate_hz, _FORMAT), "<i2"), NOISE_HZ))
        return speeches


_FORMAT = AudioFormat(NOISE_HZ)


def noise_track(kind: Kind, seconds: float, seed: int, speeches: Sequence[Samples] = ()) -> Samples:
    """``seconds`` of ``kind`` at 16 kHz; ``speeches`` at 16 kHz are what babble is mixed from."""
    rng = np.random.default_rng(seed)
    length = max(_STEP, int(seconds * NOISE_HZ))
    match kind:
        case "babble":
            made = _babble(speeches, length, rng)
        case "street":
            made = _street(length, rng)
        case "cough":
            made = _coughs(length, rng)
    made = _band(made, LOWEST_HZ, HIGHEST_HZ)
    made *= _PEAK * 32767 / max(1e-9, float(np.abs(made).max()))
    return made.astype(np.int16)


def single_cough(seed: int) -> Samples:
    """One fit of coughing (one to three coughs) at 16 kHz."""
    made = _band(_fit(np.random.default_rng(seed)), LOWEST_HZ, HIGHEST_HZ)
    return np.asarray(made * _PEAK * 32767 / np.abs(made).max()).astype(np.int16)


# -- levels ------------------------------------------------------------------------------------------------------------


def active_level_dbfs(samples: Samples, rate_hz: int) -> float:
    """RMS level, within a telephone's band, of the 20 ms steps that are not pauses; -96 when all is silence."""
    if not len(samples):
        return -96.0
    band = _band(samples.astype(np.float64), LOWEST_HZ, HIGHEST_HZ, rate_hz)
    step = rate_hz // 50
    if len(band) < step:
        return level_dbfs(band.astype("<i2").tobytes())
    powers = (band[: len(band) - len(band) % step].reshape(-1, step) ** 2).mean(axis=1)
    loudest = float(np.quantile(powers, 0.95, method="higher"))
    active = powers[powers >= loudest / 10 ** (_ACTIVE_DB / 10)]
    power = float(active.mean()) / 32768.0**2
    return max(-96.0, 10 * np.log10(power)) if power > 0 else -96.0


def placed(track: Samples, level_dbfs: float, fmt: AudioFormat) -> bytes:
    """A track at 16 kHz as PCM in ``fmt`` with that active level; samples that do not fit are clipped."""
    now = active_level_dbfs(track, NOISE_HZ)
    scaled = track.astype(np.float64) * 10 ** ((level_dbfs - now) / 20)
    return converted(np.clip(np.round(scaled), -32768, 32767).astype(np.int16), NOISE_HZ, fmt)


def mixed(first: bytes, second: bytes) -> bytes:
    """The sum of two pieces of PCM at the same rate, clipped; as long as the longer one."""
    a, b = np.frombuffer(first, "<i2").astype(np.int32), np.frombuffer(second, "<i2").astype(np.int32)
    if len(a) < len(b):
        a, b = b, a
    total = a.copy()
    total[: len(b)] += b
    return np.clip(total, -32768, 32767).astype("<i2").tobytes()


# -- the noises --------------------------------------------------------------------------------------------------------


def _babble(speeches: Sequence[Samples], length: int, rng: np.random.Generator) -> Wave:
    """Everybody talks all the time, at about the same level, from different places in their text."""
    total = np.zeros(length)
    for speech in speeches:
        voice = speech.astype(np.float64)
        voice /= np.sqrt(np.mean(voice**2)) + 1e-9
        pause = np.zeros(int(rng.uniform(0.1, 0.6) * NOISE_HZ))
        said = np.resize(np.concatenate([voice, pause]), length + len(voice))
        start = int(rng.integers(len(voice)))
        total += 10 ** (rng.uniform(-4, 0) / 20) * said[start : start + length]
    return total


def _street(length: int, rng: np.random.Generator) -> Wave:
    """The hum of a town, and every few seconds a car that passes close by."""
    at_s = np.arange(length) / NOISE_HZ
    seconds = length / NOISE_HZ
    hum = _shaped(length, rng, 400.0, 1.2)
    wander = np.interp(at_s, np.arange(int(seconds) + 2), rng.uniform(-2, 2, int(seconds) + 2))
    total = hum * 10 ** (wander / 20)
    tyres, engine = _shaped(length, rng, 1100.0, 1.6), _shaped(length, rng, 250.0, 2.0)
    passes_at = -rng.uniform(0, 2)
    while passes_at < seconds + 2:
        speed, distance = rng.uniform(8, 15), rng.uniform(3, 7)  # m/s, m
        near = distance**2 / (distance**2 + (speed * (at_s - passes_at)) ** 2)  # power falls with the square
        gain = 10 ** (rng.uniform(4, 10) / 20)
        total += gain * (np.sqrt(near) * tyres + 0.7 * np.sqrt(near) * engine)
        passes_at += rng.uniform(2.5, 6)
    return total


def _coughs(length: int, rng: np.random.Generator) -> Wave:
    """A fit of coughing now and then, and nothing between."""
    total = np.zeros(length)
    at = int(rng.uniform(0.2, 0.8) * NOISE_HZ)
    while at < length:
        fit = _fit(rng)[: length - at]
        total[at : at + len(fit)] += fit
        at += len(fit) + int(rng.uniform(1.2, 3.0) * NOISE_HZ)
    return total


def _fit(rng: np.random.Generator) -> Wave:
    coughs = [_cough(rng) * 10 ** (rng.uniform(-4, 0) / 20) for _ in range(int(rng.integers(1, 4)))]
    pauses = [np.zeros(int(rng.uniform(0.05, 0.2) * NOISE_HZ)) for _ in coughs]
    return np.concatenate([part for pair in zip(coughs, pauses, strict=True) for part in pair][:-1])


def _cough(rng: np.random.Generator) -> Wave:
    """The three phases of a cough: a burst, rushing air that fades, and often a short voiced end."""
    burst_s, air_s, voiced_s = rng.uniform(0.03, 0.06), rng.uniform(0.12, 0.22), rng.uniform(0.05, 0.12)
    length = int((burst_s + air_s + voiced_s) * NOISE_HZ)
    at_s = np.arange(length) / NOISE_HZ
    rise = np.minimum(1.0, at_s / 0.008)
    burst = _shaped(length, rng, rng.uniform(700, 1200), 0.8) * rise * np.exp(-np.maximum(0, at_s - burst_s) / 0.02)
    air = _shaped(length, rng, rng.uniform(1200, 2000), 0.9) * rise * 0.4 * np.exp(-at_s / air_s)
    voice_begins = burst_s + air_s
    pitch_hz = rng.uniform(140, 260) * (1 - 0.3 * np.maximum(0, at_s - voice_begins) / voiced_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / NOISE_HZ
    tones = sum(np.sin(n * phase) / n for n in range(1, 12))
    place = (at_s - voice_begins) / voiced_s
    voiced = 0.35 * np.where(place > 0, np.sin(np.pi * np.clip(place, 0, 1)), 0.0) * tones
    fade = np.minimum(1.0, (at_s[-1] - at_s) / 0.01)
    return np.asarray((burst + air + voiced * float(rng.random() < 0.7)) * fade)


def _shaped(length: int, rng: np.random.Generator, centre_hz: float, width_octaves: float) -> Wave:
    """Noise of power 1 around ``centre_hz``: a bell over the logarithm of the frequency."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    octaves = np.log2(np.maximum(1.0, np.fft.rfftfreq(length, 1 / NOISE_HZ)) / centre_hz)
    made = np.fft.irfft(spectrum * np.exp(-((octaves / width_octaves) ** 2) / 2), length)
    return np.asarray(made / (np.sqrt(np.mean(made**2)) + 1e-12))


def _band(samples: Wave, lowest_hz: float, highest_hz: float, rate_hz: int = NOISE_HZ) -> Wave:
    if not len(samples):
        return samples
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    spectrum[(hz < lowest_hz) | (hz > highest_hz)] = 0
    return np.asarray(np.fft.irfft(spectrum, len(samples)))
