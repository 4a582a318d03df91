"""One call: its state machine, what it does, and what keeps it running."""
