"""Every error of ariagent, in one tree that says whose fault it is.

    AriagentError
    +-- ConfigurationError     the operator's: settings that cannot load, wrong usage   (exit code 2)
    +-- ResourceError          the machine's: a port is taken, a folder cannot be written; it may change by itself
    +-- AsteriskError          Asterisk's: refused, unreachable, misbehaving
    |   +-- AriError           a REST request failed, or the event stream was lost
    |   +-- AmiError           a manager action failed, or the manager connection was lost
    |   |   +-- AmiRefusedError   Asterisk answered with an error: no permission, no such channel, queue or member
    |   +-- AudioSocketError   a media connection broke the protocol
    +-- UnknownAgentError      the dialplan's: it names an agent that the settings do not have
    +-- TurnedAwayError        nobody's: a cap that the operator set is reached
    +-- InternalError          ariagent's

Each carries a ``remedy``: one sentence that tells the reader what to do about it.
"""

import os


class AriagentError(Exception):
    """Base of the tree. ``str(error)`` is the cause; ``remedy`` is what to do, or empty."""

    def __init__(self, cause: str, *, remedy: str = "") -> None:
        super().__init__(cause)
        self.remedy = remedy

    @property
    def line(self) -> str:
        """Cause and remedy as one line for a terminal or a log."""
        return told(str(self), self.remedy)


def told(cause: str, remedy: str) -> str:
    """Cause and remedy as one line; a cause that is a sentence already gets no second full stop."""
    if not remedy:
        return cause
    return f"{cause} {remedy}" if cause.endswith((".", "!", "?")) else f"{cause}. {remedy}"


class ConfigurationError(AriagentError):
    """The operator's settings are wrong; nothing was started."""


class ResourceError(AriagentError):
    """Something of this machine cannot be had: a port is taken, a folder cannot be written."""


class AsteriskError(AriagentError):
    """Asterisk refused, is unreachable, or misbehaved."""


class AriError(AsteriskError):
    """An ARI request failed or the event stream was lost."""


class AmiError(AsteriskError):
    """A manager action failed or the manager connection was lost."""


class AmiRefusedError(AmiError):
    """Asterisk answered a manager action with an error."""


class AudioSocketError(AsteriskError):
    """An AudioSocket peer broke the protocol."""


class CallStateError(AriagentError):
    """The request is impossible for a call in its present state."""


class UnknownAgentError(AriagentError):
    """A call is for an agent that the settings do not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no agent {name[:64]}", remedy="Name one from agents, or add it there")
        self.name = name


class TurnedAwayError(AriagentError):
    """A call is not taken: enough calls are in progress, or the caller calls too often. ``reason`` is for logs and
    metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the call is not taken: {reason}")
        self.reason = reason


class InternalError(AriagentError):
    """An internal error."""


def why(error: BaseException) -> str:
    """The reason of a network error in the system's words: HTTP clients put addresses and TLS options around them."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, OSError) and inner.strerror and not inner.strerror.startswith(("Connect call", "Multiple")):
        return inner.strerror
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)
    return str(error) or type(error).__name__
