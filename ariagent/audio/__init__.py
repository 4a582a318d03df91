"""Sample formats, conversion and playout."""
