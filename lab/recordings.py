"""``make recordings``: the sentences of ``ariagent call``'s own script as recorded speech, for the package."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import numpy as np

from ariagent.audio.format import AudioFormat
from ariagent.caller.recorded import FOLDER, RATE_HZ, file_name
from ariagent.caller.script import Interrupt, Say, load_script
from ariagent.caller.voice import Voice, tool_of, write_wav
from lab.packages import default_lab_dir, ensure_tool


def main(argv: Sequence[str] | None = None) -> int:
    """Make every recording again, and delete those of sentences that are not said any more."""
    script = load_script()
    voice = Voice(ensure_tool(tool_of(script.voice), default_lab_dir()), script.voice, AudioFormat(RATE_HZ))
    texts = [step.text for step in script.steps if isinstance(step, Say | Interrupt)]
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.wav"):
        old.unlink()
    for text in texts:
        path = FOLDER / file_name(script.voice, text)
        samples = np.frombuffer(asyncio.run(voice.say(text)), "<i2")
        write_wav(path, samples, RATE_HZ)
        sys.stdout.write(f"{path.name}: {len(samples) / RATE_HZ:.1f} s\n")
    return 0
