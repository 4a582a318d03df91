"""``python -m ariagent`` is ``ariagent``."""

from ariagent.cli import main

main()
