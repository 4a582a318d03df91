"""A local Realtime (GA) server to develop and test against."""

from ariagent import extras

extras.no_telemetry()
