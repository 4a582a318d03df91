"""A running service checks itself: it runs the quick checks of ``ariagent check`` and logs what is wrong.

At its start it runs those that need only the settings. After each connection it runs those that need Asterisk or AMI.
After a reload of the settings it runs all of them. Every minute it repeats those that have failed. A result is logged
again only if it changes, or comes back after it has passed.
"""

import asyncio
import logging
from contextlib import suppress

from ariagent.check.checks import Check, Need, quick, run_checks
from ariagent.check.report import Result, Status
from ariagent.check.site import Site

log = logging.getLogger(__name__)


AGAIN_S = 60.0
"""Interval of repeated checks. There may be no event when an administrator has corrected what failed."""


class SelfCheck:
    """The checks of one service. ``wanted`` may be called at any time; ``run`` runs the checks, one group at a time."""

    def __init__(self) -> None:
        self._wanted: set[Need] = set()
        self._wake = asyncio.Event()
        self._told: dict[tuple[Need, str], list[tuple[Status, str]]] = {}
        """Check -> what was wrong when it last ran."""
        self.settled = asyncio.Event()
        """Set while no check is waiting."""

    @property
    def failed(self) -> list[str]:
        """The failed results of the last checks, as ``name: what``."""
        return [line for results in self._told.values() for status, line in results if status is Status.FAILED]

    @property
    def _failing(self) -> set[Need]:
        return {need for (need, _), results in self._told.items() if any(s is Status.FAILED for s, _ in results)}

    def wanted(self, need: Need) -> None:
        """Request the checks with this need, because something has changed."""
        self._wanted.add(need)
        self.settled.clear()
        self._wake.set()

    async def run(self, site: Site) -> None:
        """Run the requested checks, until cancelled."""
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
        """Run the quick checks with these needs, and log new results."""
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
                continue  # the earlier result still counts
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
