"""The tests do not depend on what their user has set up, as a lab that is up in the same checkout."""

import os
import subprocess
import sys
from pathlib import Path


def test_no_setting_of_whoever_starts_the_tests_is_one_of_theirs() -> None:
    program = "import os, tests.conftest; print(*sorted(name for name in os.environ if name.startswith('ARIAGENT_')))"
    theirs = {"ARIAGENT_CONFIG": "/etc/ariagent/other.yaml", "ARIAGENT_MAX_CALLS": "3", "ARIAGENT_NO_SKIP": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **theirs},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["ARIAGENT_LAB", "ARIAGENT_NO_SKIP"]
