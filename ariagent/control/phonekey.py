"""CORE: the key by which the service knows its own dialplan's events.

Everybody who may write ``user`` in manager.conf can send a UserEvent, and a caller's number can look like one. The key
is a global variable of Asterisk, which neither sees. All services of one Asterisk share it: the old and the new process
of an upgrade hear the same events.
"""

import hmac
import re

VARIABLE = "ARIAGENT_KEY"
FIELD = "key"
AGAIN_S = 1.0
"""How often a wrong key is a reason to look at the variable again."""
_VALID = re.compile(r"[0-9a-f]{32}")


class PhoneKey:
    """The key of the supervisors' phones: the variable's value as far as the service knows it. ``own``: 32 random
    hexadecimal digits, which become the key where Asterisk has none. ``now``: seconds of a monotonic clock."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._value = ""
        self._looked = float("-inf")

    def fits(self, given: str) -> bool:
        """Whether an event with this key is our dialplan's."""
        return bool(self._value) and hmac.compare_digest(given.encode(errors="replace"), self._value.encode())

    def look_due(self, now: float) -> bool:
        """Whether to read the variable now; counts as having read it."""
        if now - self._looked < AGAIN_S:
            return False
        self._looked = now
        return True

    def found(self, value: str) -> str | None:
        """Asterisk's value was read. Returns one to set in its place, or None where it is a key already."""
        if _VALID.fullmatch(value):
            self._value = value
            return None
        # After a restart of Asterisk, or `clearglobalvars`: the same again, so that every service has it.
        self._value = self._value or self._own
        return self._value
