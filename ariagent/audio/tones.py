"""Hears that a machine is calling: fax, modem, or the beep of an answering machine. No I/O. The signals:

* fax: the calling tone of ITU-T T.30 (CNG: 1100 Hz +-38 Hz, half a second on, three off), its answer tone (CED:
  2100 Hz) and the flags before its frames (V.21, 300 bit/s at 1650 and 1850 Hz);
* modem: the calling tone of V.25 (1300 Hz, 0.5 to 0.7 s on, 1.5 to 2 s off), its answer tone with a phase reversal
  every 450 ms, Bell's answer tone (2225 Hz) and V.22's (2250 Hz);
* voicemail: one pure tone of 0.25 to 2.5 s, and then silence, within the first minute.

A machine's tone keeps its frequency, phase and level as no throat or instrument does, which is what tells them apart.
Audio is looked at a second at a time. For each 40 ms the spread of its spectrum around one frequency is had from three
sums of products; the few stretches that might be a tone are then looked at closely.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ariagent.audio.format import AudioFormat

Machine = Literal["fax", "modem", "voicemail"]

FRAME_MS = 40
BATCH_FRAMES = 25
"""Looked at together."""
VOICEMAIL_WITHIN_S = 60.0

_COARSE_HZ = 8000
"""Roughly what the first look is taken at."""
_FLOOR = 184.0
"""RMS below which a sound is no tone: -45 dBFS."""
MOST_HOLE_FRAMES = 4
"""Frames of 20 ms in a hole; more are a pause. Up to 80 ms were measured on a machine with twice the load it can do."""
_SPREAD = 0.08
"""Variance of the cosine of the frequency: 0.5 for white noise, 0 for a tone, 0.07 for one in noise 13 dB below."""
_WANDER = 0.06
"""The most that its mean may change within a tone. Half a frame of flags may hold ones only, or two zeros: 0.051."""
_LOUDER = 2.0
"""The most that the power may change within a tone."""
_SHORTEST_FRAMES = 6
_LONGEST_FRAMES = 64
_LOOKS = (20, 40, 60)
"""Lengths of a tone, in frames, at which it is looked at before its end."""

_BLOCK_MS = 10
_PURITY = 0.85
"""Part of the power that the tone has."""
_COHERENCE = 0.93
"""1: the phase runs on like a clock."""
_ALONE_HZ = 60.0
"""No second tone is nearer than this; some that are would make the level swing."""
_COMPANY = 0.06
"""Amplitude of a second tone, as a part of the first's: -24 dB."""
_STEADY = 0.25
"""Standard deviation of the level, as a part of it."""
_QUIETER = 0.1
"""Power, as a part of the tone's, that counts as silence after it."""

_CNG_HZ = (1062.0, 1138.0)
_CNG_S = (0.4, 0.6)
_CALLING_HZ = (1285.0, 1315.0)
_CALLING_S = (0.45, 0.75)
_ANSWER_HZ = (2085.0, 2115.0)
_BELL_HZ = (2205.0, 2270.0)
_BEEP_HZ = (400.0, 2000.0)
_BEEP_S = (0.25, 2.5)
_PROGRESS_HZ = (400.0, 425.0, 450.0)
"""Ringing, busy and dial tones that are single tones (ITU-T E.180); +-6 Hz."""
_ZEROS = 0.1
"""Part of the power that the flags' zeros have at least; a quarter of their bits are."""
_FLAG_S = 8 / 300
_FLAGS_AFTER_S = 0.7
_ANSWER_AFTER_S = 1.5
_BELL_AFTER_S = 1.0
_BURSTS_WITHIN_S = 8.0

_SILENCE_S: dict[str, float] = {"cng": 1.0, "calling": 2.6, "beep": 0.5}
"""Seconds of silence after each of these tones until it counts."""
_AFTER_SILENCE: dict[str, Machine] = {"cng": "fax", "calling": "voicemail", "beep": "voicemail"}

Samples = NDArray[np.float32]
_Look = tuple[float, float, bool]
"""One frame: mean square, mean cosine of the frequency, and whether it may be a tone's."""


@dataclass(frozen=True, slots=True)
class Tone:
    """A steady single tone."""

    frequency_hz: float
    duration_s: float
    power: float
    """Mean square of the samples."""
    reversals: int
    """Jumps of the phase by half a turn."""


class MachineEar:
    """Listens to one caller."""

    def __init__(self, fmt: AudioFormat) -> None:
        self._rate_hz = fmt.rate_hz
        self._stride = max(1, fmt.rate_hz // _COARSE_HZ)
        self._frame_samples = fmt.rate_hz * FRAME_MS // 1000
        self._frame_bytes = fmt.n_bytes(FRAME_MS)
        self._batch_bytes = BATCH_FRAMES * self._frame_bytes
        cosines = np.cos(2 * np.pi * np.array((350.0, 2450.0)) * self._stride / fmt.rate_hz)
        self._highest, self._lowest = (float(c) for c in cosines)
        self._new = bytearray()
        self._past = b""
        """Whole frames before those in ``_new``: of the tone that is heard and one before it."""
        self._frame = 0
        """Number of the first frame in ``_new``."""
        self._run: int | None = None
        """Number of the first frame of what may be a tone."""
        self._like = 0.0, 0.0
        """Mean square and cosine that its frames have."""
        self._waiting: tuple[str, float, int] | None = None
        """A tone that counts if silence follows: its kind, its power, and the silent frames so far."""
        self._bursts: list[tuple[str, int]] = []
        self._heard = False

    def hear(self, pcm: bytes) -> Machine | None:
        """The next of the caller's audio, any whole samples. Returns what machine it is, once in all; what was heard
        by then may be up to a second old."""
        new = self._new
        if self._heard:
            return None
        machine = None
        if not new and len(pcm) == self._batch_bytes:
            machine = self._batch(pcm)  # without a copy, which would cost as much as the look
        else:
            new += pcm
            while machine is None and len(new) >= self._batch_bytes:
                machine = self._batch(bytes(new[: self._batch_bytes]))
                del new[: self._batch_bytes]
        if machine is not None:
            self._heard = True
            new.clear()
            self._past = b""
        return machine

    # -- the first look ---------------------------------------------------------------------------

    def _batch(self, batch: bytes) -> Machine | None:
        looks = self._look(batch)
        first = self._frame
        self._frame += BATCH_FRAMES
        if self._run is None and self._waiting is None and not any(tonal for _, _, tonal in looks):
            self._past = batch[-self._frame_bytes :]
            return None
        audio = self._past + batch
        audio_first = first - len(self._past) // self._frame_bytes
        for n, look in enumerate(looks):
            machine = self._step(first + n, look, audio, audio_first)
            if machine is not None:
                return machine
        keep = first + BATCH_FRAMES - 1 if self._run is None else self._run - 1
        keep = max(keep, first + BATCH_FRAMES - _LONGEST_FRAMES - 2)
        self._past = audio[max(0, keep - audio_first) * self._frame_bytes :]
        return None

    def _look(self, batch: bytes) -> list[_Look]:
        """The first half of each frame, at about 8 kHz.

        With x[n-1] + x[n+1] = 2 cos(w) x[n] for a tone of w, the least-squares fit of that gives the mean of cos(w)
        over the spectrum, and what it leaves is the variance.
        """
        frames = np.frombuffer(batch, "<i2").reshape(BATCH_FRAMES, -1)
        pieces = frames[:, : self._frame_samples // 2 : self._stride].astype(np.float32)
        middle = pieces[:, 1:-1]
        size = middle.shape[1]
        floor, low, high = _FLOOR**2 * size, 2 * self._lowest, 2 * self._highest
        powers = np.einsum("ij,ij->i", middle, middle).tolist()
        if max(powers) < floor:
            return [(power / size, 0.0, False) for power in powers]
        around = pieces[:, :-2] + pieces[:, 2:]
        alike = np.einsum("ij,ij->i", middle, around).tolist()
        spreads = np.einsum("ij,ij->i", around, around).tolist()
        return [
            (
                power / size,
                both / (2 * power + 1.0),
                power > floor
                and low * power < both < high * power
                and twice * power - both * both < 4 * _SPREAD * power * power,
            )
            for power, both, twice in zip(powers, alike, spreads, strict=True)
        ]

    # -- frame by frame ---------------------------------------------------------------------------

    def _step(self, frame: int, look: _Look, audio: bytes, audio_first: int) -> Machine | None:
        power, cosine, tonal = look
        machine: Machine | None = None
        if self._run is not None and not (tonal and self._goes_on(frame, power, cosine)):
            length = frame - self._run
            if _SHORTEST_FRAMES <= length <= _LONGEST_FRAMES:
                tone = measure(self._between(self._run - 1, frame + 1, audio, audio_first), self._rate_hz)
                if tone is None or tone.reversals:
                    # Something else came right before or after it.
                    tone = measure(self._between(self._run + 1, frame - 1, audio, audio_first), self._rate_hz)
                    tone = tone and replace(tone, duration_s=length * FRAME_MS / 1000)
                machine = self._ended(frame, tone)
            self._run = None
        if tonal:
            if self._run is None:
                self._run = frame
            elif frame - self._run in _LOOKS:
                machine = self._lasting(self._between(self._run, frame, audio, audio_first))
            if frame - self._run <= 1:
                # The first frame may hold the tone's beginning; the second is what the others are like.
                self._like = power, cosine
        return machine or self._after(power)

    def _goes_on(self, frame: int, power: float, cosine: float) -> bool:
        like_power, like_cosine = self._like
        if frame - (self._run or 0) == 1:
            return power > like_power / _LOUDER
        return like_power / _LOUDER < power < like_power * _LOUDER and abs(cosine - like_cosine) < _WANDER

    def _between(self, start: int, end: int, audio: bytes, audio_first: int) -> Samples:
        """Frames ``start`` up to ``end``, as far as there are any."""
        begin = max(0, start - audio_first) * self._frame_bytes
        return np.frombuffer(audio[begin : (end - audio_first) * self._frame_bytes], "<i2").astype(np.float32)

    def _after(self, power: float) -> Machine | None:
        """Count the silence after a tone. The frame in which it ended is not counted."""
        if self._waiting is None:
            return None
        kind, tone_power, silent = self._waiting
        if silent >= 0 and power > _QUIETER * tone_power:
            self._waiting = None
            return None
        self._waiting = (kind, tone_power, silent + 1)
        if (silent + 1) * FRAME_MS < _SILENCE_S[kind] * 1000:
            return None
        self._waiting = None
        return _AFTER_SILENCE[kind]

    # -- the close look ---------------------------------------------------------------------------

    def _ended(self, frame: int, tone: Tone | None) -> Machine | None:
        if tone is None or tone.reversals:
            return None
        kind = _kind(tone)
        if kind is None or (kind == "beep" and frame * FRAME_MS > VOICEMAIL_WITHIN_S * 1000):
            return None
        self._waiting = (kind, tone.power, -1)
        if kind != "beep":
            earliest = frame - _BURSTS_WITHIN_S * 1000 / FRAME_MS
            self._bursts = [*(b for b in self._bursts if b[1] >= earliest), (kind, frame)]
            if sum(name == kind for name, _ in self._bursts) >= 2:
                return "fax" if kind == "cng" else "modem"
        return None

    def _lasting(self, samples: Samples) -> Machine | None:
        tone = measure(samples, self._rate_hz)
        if tone is None:
            return "fax" if has_flags(samples, self._rate_hz) else None
        if _within(tone.frequency_hz, _ANSWER_HZ) and tone.duration_s >= _ANSWER_AFTER_S:
            return "modem" if tone.reversals >= 2 else "fax"
        if _within(tone.frequency_hz, _BELL_HZ) and tone.duration_s >= _BELL_AFTER_S and not tone.reversals:
            return "modem"
        return None


class WithoutHoles:
    """Takes out holes that Asterisk makes in what it hears from another channel (Snoop, bridges) when the machine is
    short of time: frames of zeros between frames of sound, which only come later. A tone with holes is none."""

    def __init__(self) -> None:
        self._zeros: list[bytes] = []
        """Frames of zeros after a sound; a hole, if the sound continues."""
        self._sounds = False

    def take(self, frame: bytes) -> bytes:
        """The next frame of 20 ms. Returns what is to be listened to: nothing, while this may be a hole."""
        if frame.count(0) < len(frame):
            self._sounds = True
            self._zeros.clear()
            return frame
        if not self._sounds:
            return frame
        self._zeros.append(frame)
        if len(self._zeros) <= MOST_HOLE_FRAMES:
            return b""
        self._sounds = False
        silence = b"".join(self._zeros)
        self._zeros.clear()
        return silence


def measure(samples: Samples, rate_hz: int) -> Tone | None:
    """The one steady tone that ``samples`` are, silence around it aside; None when they are something else."""
    block = rate_hz * _BLOCK_MS // 1000
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    powers = np.mean(blocks * blocks, axis=1)
    loud = np.flatnonzero(powers > np.median(powers) / 4)
    inner = blocks[loud[0] + 1 : loud[-1]]
    if len(inner) < 16:
        return None
    sound = inner.ravel() - inner.mean()
    power = float(np.mean(sound * sound))
    frequency = _peak(sound, rate_hz)
    if _has_company(sound, frequency, rate_hz):
        return None
    # The tone, block by block, as a slow phasor. Its square does not show reversals.
    turned = _phasors(sound, frequency, rate_hz, block)
    steps = turned[1:] * turned[:-1].conj()
    frequency += float(np.angle(np.sum(steps**2)) / 2) / (2 * np.pi * _BLOCK_MS / 1000)
    turned = _phasors(sound, frequency, rate_hz, block)
    levels = np.abs(turned)
    if np.mean(levels**2) * 2 < _PURITY * power or np.std(levels) > _STEADY * np.mean(levels):
        return None
    squares = turned**2
    whole = np.sum(squares)
    if np.abs(whole) < _COHERENCE * np.sum(np.abs(squares)):
        return None
    signs = np.real(turned * np.exp(-0.5j * np.angle(whole))) > 0
    reversals = int(np.count_nonzero(signs[1:] != signs[:-1]))
    # Where the tone begins and ends, to a fraction of a block.
    edges = float(powers[loud[0]] + powers[loud[-1]]) / power
    return Tone(frequency, (len(inner) + min(edges, 2.0)) * _BLOCK_MS / 1000, power, reversals)


def has_flags(samples: Samples, rate_hz: int) -> bool:
    """Whether ``samples`` are V.21 flags: 01111110 again and again, 0 at 1850 Hz and 1 at 1650 Hz."""
    if len(samples) < _FLAGS_AFTER_S * rate_hz:
        return False
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    at = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    total = float(np.sum(spectrum[at > 100]))
    ones, zeros = (float(np.sum(spectrum[np.abs(at - hz) < 100])) for hz in (1650, 1850))
    if ones + zeros < _PURITY * total or min(ones / 3, zeros) < _ZEROS * total:
        return False
    # The frequency over time: 1 ms blocks turned by 1750 Hz, whose phase moves a bit at each.
    block = rate_hz // 1000
    turned = _phasors(samples, 1750.0, rate_hz, block)
    turned = turned[:-1] + turned[1:]
    moves = np.angle(turned[1:] * turned[:-1].conj())
    moves -= moves.mean()
    alike = {round(1000 * _FLAG_S * n): n for n in (1.5, 3.0)}
    whole = float(np.sum(moves * moves))
    correlation = {n: float(np.sum(moves[lag:] * moves[:-lag])) / whole for lag, n in alike.items()}
    return correlation[3.0] > 0.5 and correlation[1.5] < 0.2


def _has_company(sound: Samples, frequency_hz: float, rate_hz: int) -> bool:
    """Whether another tone, as of a key, or an overtone, as of a voice, is there too."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    at = np.fft.rfftfreq(len(sound), 1 / rate_hz)
    near = np.abs(at - frequency_hz) < _ALONE_HZ
    others = spectrum[~near & (at > 200)]
    return float(others.max()) > _COMPANY * float(spectrum[near].max())


def _phasors(sound: Samples, frequency_hz: float, rate_hz: int, block: int) -> NDArray[np.complex128]:
    """Each whole block's amplitude and phase at the frequency."""
    count = len(sound) // block
    turn = np.exp(-2j * np.pi * frequency_hz / rate_hz * np.arange(count * block))
    return np.asarray((sound[: count * block] * turn).reshape(count, block).mean(axis=1), np.complex128)


def _peak(sound: Samples, rate_hz: int) -> float:
    """Frequency of the strongest component, to a few Hz, whatever its phase does: from 40 ms pieces."""
    size = rate_hz * FRAME_MS // 1000
    pieces = sound[: len(sound) // size * size].reshape(-1, size) * np.hanning(size)
    spectrum = np.mean(np.abs(np.fft.rfft(pieces, axis=1)) ** 2, axis=0)
    top = int(np.clip(np.argmax(spectrum), 1, len(spectrum) - 2))
    left, middle, right = np.log(spectrum[top - 1 : top + 2] + 1e-9)
    curve = left - 2 * middle + right
    return float((top + ((left - right) / (2 * curve) if curve else 0.0)) * rate_hz / size)


def _kind(tone: Tone) -> str | None:
    if _within(tone.frequency_hz, _CNG_HZ) and _within(tone.duration_s, _CNG_S):
        return "cng"
    if _within(tone.frequency_hz, _CALLING_HZ) and _within(tone.duration_s, _CALLING_S):
        return "calling"
    if any(abs(tone.frequency_hz - progress) <= 6.0 for progress in _PROGRESS_HZ):
        return None
    return "beep" if _within(tone.frequency_hz, _BEEP_HZ) and _within(tone.duration_s, _BEEP_S) else None


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
