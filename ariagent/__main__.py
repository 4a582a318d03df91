"""``python -m ariagent`` is ``ariagent``."""

import sys

if not sys.flags.safe_path:
    # The current directory, which -m puts first: what lies there must not be imported by a command of root's.
    del sys.path[0]

from ariagent.start import main

main()
