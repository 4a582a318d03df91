"""The rate of an AudioSocket leg, and the conversion of its audio to the model's and back.

Asterisk converts rates at no measurable delay, so the leg takes the model's rate where it can: 24 kHz since Asterisk
20.17, 21.12, 22.7 and 23.1 (before, AudioSocket carries 8 kHz only), 8 kHz for a model that speaks G.711.
"""

from typing import Literal

import numpy as np

from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat
from ariagent.audio.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from ariagent.audio.resample import Resampler
from ariagent.errors import ConfigurationError
from ariagent.release import Release

Wanted = Literal["auto", "slin", "slin16", "slin24"]
ModelEncoding = Literal["pcm", "pcmu", "pcma"]

_FORMATS: dict[str, AudioFormat] = {"slin": SLIN8, "slin16": SLIN16, "slin24": SLIN24}
_WIDE_SINCE = {20: 17, 21: 12, 22: 7, 23: 1}
_MODEL_RATES_HZ = {"pcm": 24_000, "pcmu": 8_000, "pcma": 8_000}


def carries_wide_audio(asterisk_version: str) -> bool:
    """Whether AudioSocket of this Asterisk carries more than 8 kHz (frame kinds 0x11 to 0x18).

    ``asterisk_version``: what ``core show version`` and ARI report. Branches after the known ones carry it; a build
    without a number ("GIT-master-...", "GIT-22-...") is taken to be recent.
    """
    release = Release.parse(asterisk_version)
    if release is None or release.major > max(_WIDE_SINCE):
        return True
    since = _WIDE_SINCE.get(release.major)
    return since is not None and (release.minor is None or release.minor >= since)


def choose_format(asterisk_version: str, wanted: Wanted, model_encoding: ModelEncoding) -> AudioFormat:
    """The format of the AudioSocket leg. ConfigurationError when the wanted one is beyond this Asterisk."""
    wide = carries_wide_audio(asterisk_version)
    if wanted == "auto":
        return SLIN24 if wide and model_encoding == "pcm" else SLIN8
    fmt = _FORMATS[wanted]
    if fmt != SLIN8 and not wide:
        raise ConfigurationError(
            f"AudioSocket of Asterisk {asterisk_version} carries 8 kHz only, not {wanted}",
            remedy="Use auto or slin, or upgrade to Asterisk 20.17, 21.12, 22.7, 23.1 or later.",
        )
    return fmt


class ModelCodec:
    """Converts one call's audio between the leg's PCM and the model's encoding, streaming, both ways.

    The model's PCM is 24 kHz, its G.711 8 kHz. With ``identity`` true both directions return their argument, so a
    hot path may skip the calls.

    Towards the model, rate conversion delays by 3 ms. From the model, where audio comes faster than it is played,
    the delay is taken out: an item is as long as the model says, its last 3 ms come from ``end_item``.
    """

    def __init__(self, fmt: AudioFormat, model_encoding: ModelEncoding) -> None:
        model_hz = _MODEL_RATES_HZ[model_encoding]
        self._model_bytes_per_ms = model_hz / 1000 * (2 if model_encoding == "pcm" else 1)
        self._up = Resampler(fmt.rate_hz, model_hz)
        self._down = Resampler(model_hz, fmt.rate_hz)
        self._encode, self._decode = {
            "pcm": (None, None),
            "pcmu": (encode_ulaw, decode_ulaw),
            "pcma": (encode_alaw, decode_alaw),
        }[model_encoding]
        self._tail = bytes(int(self._down.delay_ms * model_hz / 1000) * 2)
        self._to_skip = self._down.delay_bytes
        self.identity = model_encoding == "pcm" and self._up.identity

    def model_ms(self, n_bytes: int) -> float:
        """The duration of this many bytes of the model's audio."""
        return n_bytes / self._model_bytes_per_ms

    def to_model(self, pcm: bytes) -> bytes:
        """A frame of the leg (whole samples), as bytes to append to the model's input."""
        pcm = self._up.process(pcm)
        return pcm if self._encode is None else self._encode(np.frombuffer(pcm, "<i2"))

    def from_model(self, data: bytes) -> bytes:
        """Audio of one item of the model, cut anywhere, as PCM of the leg."""
        pcm = data if self._decode is None else self._decode(data).tobytes()
        return self._aligned(self._down.process(pcm))

    def end_item(self) -> bytes:
        """The end of an item: its last PCM; the next ``from_model`` begins a new item.

        After a barge-in call it too, and drop the result.
        """
        if self._down.identity:
            return b""
        last = self._aligned(self._down.process(self._tail)) if self._to_skip < self._down.delay_bytes else b""
        self._down.reset()
        self._to_skip = self._down.delay_bytes
        return last

    def _aligned(self, pcm: bytes) -> bytes:
        if self._to_skip:
            skipped = min(self._to_skip, len(pcm))
            self._to_skip -= skipped
            return pcm[skipped:]
        return pcm
