"""Which agent takes a call, and what it is told about it."""
