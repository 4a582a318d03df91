"""A running service checks itself: the quick ones of ``ariagent check``, logged where something is wrong.

At the start those that need nothing but the settings, then, after each connection, those that need Asterisk or its
manager interface; all of them after the settings were read anew, and what has failed every minute. What was logged is
logged again when it changes, or comes back after it was mended.
"""

import asyncio
import logging
from contextlib import suppress

from ariagent.check.checks import Check, Need, quick, run_checks
from ariagent.check.report import Result, Status
from ariagent.check.site import Site

log = logging.getLogger(__name__)


AGAIN_S = 60.0
"""Somebody may mend what has failed, and nothing else may tell that it is mended."""


class SelfCheck:
    """Of one service. ``wanted`` may be called at any time; ``run`` does the checks, one group at a time."""

    def __init__(self) -> None:
        self._wanted: set[Need] = set()
        self._wake = asyncio.Event()
        self._told: dict[tuple[Need, str], list[tuple[Status, str]]] = {}
        """By check, what was wrong when it was last done."""
        self.settled = asyncio.Event()
        """Set while nothing is waiting to be checked."""

    @property
    def failed(self) -> list[str]:
        """What is wrong so that calls do not work, as ``name: what``, when that was last looked at."""
        return [line for results in self._told.values() for status, line in results if status is Status.FAILED]

    @property
    def _failing(self) -> set[Need]:
        return {need for (need, _), results in self._told.items() if any(s is Status.FAILED for s, _ in results)}

    def wanted(self, need: Need) -> None:
        """Something has changed: do the checks that need this."""
        self._wanted.add(need)
        self.settled.clear()
        self._wake.set()

    async def run(self, site: Site) -> None:
        """Check whenever that is wanted, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S if self.failed else None):
                    await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = self._wanted or self._failing, set()
            await self.check(site, *wanted)
            if not self._wanted:
                self.settled.set()

    async def check(self, site: Site, *needs: Need) -> None:
        """Do the quick checks that need these, and log what is news."""
        checks = quick(*needs)
        found: dict[tuple[Need, str], list[tuple[Status, str]]] = {_key(check): [] for check in checks}
        skipped: set[tuple[Need, str]] = set()

        def say(check: Check, result: Result) -> None:
            key = _key(check)
            if result.status is Status.SKIPPED:
                skipped.add(key)
            elif result.status in (Status.FAILED, Status.WARNING):
                trouble = (result.status, f"{result.name}: {result.found}")
                found[key].append(trouble)
                if trouble not in self._told.get(key, ()):
                    _log(result)

        await run_checks(checks, site, say)
        for check in checks:
            key = _key(check)
            if key in skipped and not found[key]:
                continue  # what was found before still counts
            if self._told.get(key) and not found[key]:
                log.info("check.passed", extra={"fields": {"name": check.name}})
            self._told[key] = found[key]


def _key(check: Check) -> tuple[Need, str]:
    return check.needs, check.name


def _log(result: Result) -> None:
    failed = result.status is Status.FAILED
    fields = {"name": result.name, "cause": result.found, "remedy": result.remedy or "-"}
    log.log(
        logging.ERROR if failed else logging.WARNING,
        "check.failed" if failed else "check.warned",
        extra={"fields": fields},
    )
