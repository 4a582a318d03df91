"""onnxruntime would report its use to its maker: it keeps what it will send below the user's home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ariagent.turns import modelfile
from lab.packages import default_lab_dir

MODEL = modelfile.in_lab(default_lab_dir()) / modelfile.MODEL.name


@pytest.mark.parametrize(
    "program",
    [
        "from ariagent.sandbox import vad; vad.Silero()",
        f"from pathlib import Path; from ariagent.turns.judge import Judge; Judge.open(Path({str(MODEL)!r}))",
    ],
    ids=["speech detector", "end-of-turn judge"],
)
def test_it_is_told_not_to(program: str, tmp_path: Path) -> None:
    if "turns" in program and not MODEL.exists():
        pytest.skip("make setup has not fetched the model")
    own = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY" and "XDG" not in name}
    program += "; import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**own, "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.strip() == "1"
    assert list(tmp_path.rglob("*")) == []
