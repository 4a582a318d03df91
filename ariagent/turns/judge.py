"""The end-of-turn judge: it hears the end of the caller's speech, and says how probably the turn is over."""

from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from ariagent import extras
from ariagent.audio.clips import converted
from ariagent.errors import ConfigurationError
from ariagent.turns import modelfile
from ariagent.turns.features import BANDS, FRAMES, RATE_HZ, WINDOW_S, features


class Judging(Protocol):
    """Anything that judges."""

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        """The probability, from 0 to 1, that the turn is over. ``pcm``: 16-bit mono speech of the caller, up to now."""


class Judge:
    """Smart Turn v3.2, on one thread: the thread that calls ``judge``."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def open(cls, path: Path) -> Self:
        """Load the model, which takes about 70 ms. Raises ConfigurationError if the extra or the file is missing."""
        extras.demand("turns", "the end-of-turn judge")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        # The model has 8-bit weights. On processors with AVX2 and without VNNI the fast sums of such weights overflow
        # (source: onnxruntime_session_options_config_keys.h): 53 % of cut prompts counted as complete, 36 % with this.
        options.add_session_config_entry("session.x64quantprecision", "1")
        content = modelfile.read(path)
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ConfigurationError(
                f"onnxruntime {onnxruntime.__version__} cannot load the end-of-turn model: {error}",
                remedy=f"Run: {extras.install('turns')} --upgrade",
            ) from error
        return cls(session)

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        """The probability that the turn is over. Only the newest 8 s count.

        ``pcm``: 16-bit little-endian mono, at 8, 16 or 24 kHz; half a sample at its end is ignored.
        """
        newest = pcm[: len(pcm) & ~1][-WINDOW_S * rate_hz * 2 :]
        samples = np.frombuffer(converted(newest, rate_hz, RATE_HZ), "<i2")
        heard = features(samples).reshape(1, BANDS, FRAMES)
        (answers,) = self._session.run(None, {"input_features": heard})
        return float(answers[0, 0])
