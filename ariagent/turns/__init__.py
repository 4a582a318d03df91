"""Judgement of the end of the caller's turn: audio in, a probability out (extra ``turns``)."""

from ariagent import extras

extras.no_telemetry()
