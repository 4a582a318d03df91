"""The settings file: reading it, checking its sections against each other, and describing it."""

from ariagent.configfile.load import DEFAULT_PATH, PATH_NAME, chosen, load

__all__ = ["DEFAULT_PATH", "PATH_NAME", "chosen", "load"]
