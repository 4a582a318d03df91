"""CORE: the wire format of Asterisk's manager interface. Bytes in, messages out, and the other way round.

A message is lines of ``Name: value`` ended by CR LF, and an empty line after the last (source: main/manager.c). The
connection begins with one greeting line. Names are compared without case, so they are lower case here. Asterisk does
not escape values: ``runs`` says where a caller's value ends.
"""

import hashlib
from collections.abc import Mapping, Sequence

from ariagent.ami import runs
from ariagent.errors import AmiError

Message = dict[str, str]
"""One message: name in lower case -> value, in the order of the wire. Where a name comes again, its first value counts:
Asterisk writes its own fields before those that others may add."""
Value = str | int | float | bool | Sequence[str]
"""The value of an action's field; a sequence becomes a field for each of its items (``Variable``)."""

GREETING = b"Asterisk Call Manager/"
MAX_GREETING_BYTES = 256
MAX_LINE_BYTES = 64 * 1024
"""A longer line takes its message with it. Asterisk's own are a few hundred bytes."""
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_SENT_LINE_BYTES = 1000
"""Asterisk throws a longer line away: it reads into 1025 bytes (source: main/manager.c, struct mansession_session)."""
MAX_SENT_LINES = 120
"""Asterisk takes 128 lines at most (source: include/asterisk/manager.h, AST_MAX_MANHEADERS)."""


class Decoder:
    """Turns what Asterisk sends into messages. ``feed`` raises AmiError when the peer is no manager interface."""

    def __init__(self) -> None:
        self.version = ""
        """The interface's version, from the greeting; empty until that was read."""
        self.dropped = 0
        """Messages that were too large or doubtful and are left out."""
        self._line = bytearray()
        self._message: Message = {}
        self._names: list[str] = []
        """The names of the message's lines, with the lines that came again."""
        self._expected: tuple[str, ...] = ()
        """The names of a run that have not come yet."""
        self._foreign_lines = 0
        """Lines of the message's values besides their first ones."""
        self._size = 0
        self._skipping_line = False
        self._damaged = False

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes."""
        messages: list[Message] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._add(data[start:end])
            start = end + 1
            if (message := self._end_line()) is not None:
                messages.append(message)
        self._add(data[start:])
        return messages

    def _add(self, part: bytes) -> None:
        if self._skipping_line:
            return
        self._line += part
        limit = MAX_LINE_BYTES if self.version else MAX_GREETING_BYTES
        if len(self._line) > limit:
            if not self.version:
                raise _not_a_manager(bytes(self._line))
            self._line.clear()
            self._skipping_line = self._damaged = True

    def _end_line(self) -> Message | None:
        line = bytes(self._line).rstrip(b"\r")
        self._line.clear()
        if self._skipping_line:
            self._skipping_line = False
            return None
        if not self.version:
            if not line.startswith(GREETING):
                raise _not_a_manager(line)
            self.version = line[len(GREETING) :].decode(errors="replace").strip() or "?"
            return None
        if line or (self._expected and not self._damaged):
            self._keep(line)
            return None
        message, damaged = self._message, self._damaged
        self._message, self._damaged, self._size = {}, False, 0
        self._names, self._expected, self._foreign_lines = [], (), 0
        if damaged:
            self.dropped += 1
            return None
        return message or None

    def _keep(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > MAX_MESSAGE_BYTES:
            self._message.clear()
            self._damaged = True
        if self._damaged:
            return
        name, colon, value = line.decode(errors="replace").partition(": ")
        name = name.lower() if colon else ""
        if self._expected and name != self._expected[0]:
            self._continue_value()
        elif self._is_doubtful(name):
            self._message.clear()
            self._damaged = True
        elif name:
            self._names.append(name)
            self._message.setdefault(name, value)
            self._expected = self._expected[1:] or runs.rest(self._names)
        # Else no field: output of a console command, which nobody here asks for.

    def _is_doubtful(self, name: str) -> bool:
        """Whether a channel's id comes again: one of the two is in an extension that a caller dialled, and would make
        the message another caller's. A dialplan's own words, behind ``UserEvent``, may repeat a name."""
        return name.endswith(("uniqueid", "linkedid")) and name in self._message and "userevent" not in self._message

    def _continue_value(self) -> None:
        """The line is part of a caller's value, which is of no use here with several lines."""
        self._foreign_lines += 1
        if self._foreign_lines > runs.MOST_LINES:
            self._message.clear()
            self._damaged = True


def encode(action: str, action_id: str, fields: Mapping[str, Value]) -> bytes:
    """An action as it is sent. Raises AmiError for what cannot be: a line break would begin another field or action."""
    lines = [_line("Action", action), _line("ActionID", action_id)]
    for name, value in fields.items():
        if not (name.isascii() and name.replace("-", "").isalnum()):
            raise AmiError(f"{name[:64]!r} cannot be the name of a field of {action}")
        several = [value] if isinstance(value, str | int | float) else value
        lines += [_line(name, each) for each in several]
    if len(lines) > MAX_SENT_LINES:
        raise AmiError(f"{action} with {len(lines)} lines is more than Asterisk takes")
    return b"".join(lines) + b"\r\n"


def _line(name: str, value: str | float) -> bytes:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(forbidden in text for forbidden in "\r\n\0"):
        raise AmiError(f"the field {name} holds a line break or a zero byte")
    line = f"{name}: {text}\r\n".encode(errors="replace")
    if len(line) > MAX_SENT_LINE_BYTES:
        raise AmiError(f"the field {name} has {len(line)} bytes, more than the {MAX_SENT_LINE_BYTES} Asterisk takes")
    return line


def challenge_key(challenge: str, password: str) -> str:
    """The answer to a login challenge (``AuthType: MD5``)."""
    return hashlib.md5((challenge + password).encode(), usedforsecurity=False).hexdigest()


def _not_a_manager(line: bytes) -> AmiError:
    shown = line[:40].decode(errors="replace")
    if line.startswith(b"HTTP/"):
        remedy = "Set ami.port to the port of manager.conf; this one is for asterisk.url"
        return AmiError("not a manager interface: an HTTP server answered", remedy=remedy)
    return AmiError(
        f"not a manager interface: it sent {shown!r}", remedy="Does ami.port name Asterisk's manager.conf port?"
    )
