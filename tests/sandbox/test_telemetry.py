"""Nothing of the sandbox connects to anybody."""

import os
import subprocess
import sys


def test_the_speech_detector_is_told_not_to_report_its_use() -> None:
    program = "import os; from ariagent.sandbox import vad; vad.Silero(); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.strip() == "1"
