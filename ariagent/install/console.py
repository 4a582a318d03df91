"""Asterisk's console (``asterisk -rx``): runs commands for ``ariagent install`` and returns their output."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ariagent.errors import AsteriskError

LIMIT_S = 30.0
"""Time limit of one command. A reload of a large dialplan takes seconds."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Console:
    """The console of one running Asterisk."""

    command: tuple[str, ...]
    """The program, after a loader if it needs one."""
    conf: Path
    """Its ``asterisk.conf``, which names the control socket."""

    def ask(self, text: str) -> str:
        """The output of one console command. Raises AsteriskError if Asterisk does not answer."""
        argv = [*self.command, "-C", str(self.conf), "-rx", text]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            raise AsteriskError(f"Asterisk did not answer the console command {text} within {LIMIT_S:g} s") from None
        except OSError as error:
            raise AsteriskError(f"{self.command[-1]} cannot be run: {error.strerror}") from None
        printed = _COLOUR.sub("", done.stdout)
        # An old Asterisk exits with 0 even if no Asterisk runs.
        if done.returncode or "Unable to connect to remote asterisk" in done.stdout + done.stderr:
            cause = (
                _COLOUR.sub("", done.stderr).strip().splitlines() or printed.strip().splitlines() or ["no reason given"]
            )
            raise AsteriskError(f"Asterisk's console command {text} failed: {cause[-1]}")
        return printed

    @property
    def answers(self) -> bool:
        """Whether an Asterisk runs with this configuration and this user may use its console."""
        try:
            self.ask("core show version")
        except AsteriskError:
            return False
        return True
