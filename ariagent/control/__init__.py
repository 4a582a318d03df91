"""Seeing and steering calls from outside: the HTTP API, and the commands that use it."""
