"""ariagent: an AI voice agent as one more member of an Asterisk contact center."""

__version__ = "0.1.0"
