"""Entry point of the ``ariagent`` command. It imports nothing before it knows how signals are handled."""

import signal
import sys


def main() -> None:
    """Run the command that the arguments name.

    ``ariagent run`` needs a second or more until it can handle SIGHUP, which would end it before. So SIGHUP is blocked
    until ``Service`` listens for signals: a reload waits for that moment.
    """
    if sys.argv[1:2] == ["run"]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from ariagent import cli

    cli.main()
