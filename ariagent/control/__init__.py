"""Seeing and steering calls from outside: the HTTP API, the commands that use it, and supervisors' phones."""
