"""Known flaky tests: ``@pytest.mark.quarantined(reason="...", since="2026-11-30")``.

They run. If one fails, the run is not red, and the summary says so with the reason.
"""

from collections.abc import Generator
from typing import Any

import pytest

NAME = "quarantined"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if (marker := item.get_closest_marker(NAME)) is not None and not report.skipped:
        result = "failed" if report.failed else "passed"
        # xdist hands these properties on.
        report.user_properties.append((NAME, [str(marker.kwargs.get("reason", "")), result, report.when]))
        if report.failed:
            report.outcome = "skipped"
    return report


def _of(report: Any) -> tuple[str, str] | None:
    """Reason and result of this part of a quarantined test."""
    found = [value for name, value in getattr(report, "user_properties", ()) if name == NAME]
    told = [(reason, result) for reason, result, when in found if when == report.when]
    return told[-1] if told else None


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    told = _of(report)
    if told is None or (report.when != "call" and told[1] == "passed"):
        return None
    return NAME, "q", NAME.upper()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    results: dict[str, tuple[str, str]] = {}
    for report in terminalreporter.stats.get(NAME, ()):
        told = _of(report)
        if told is not None and results.get(report.nodeid, ("", ""))[1] != "failed":
            results[report.nodeid] = told
    terminalreporter.write_line(f"quarantined tests: {len(results)}")
    for name, (reason, result) in results.items():
        terminalreporter.write_line(f"  {name} {result}: {reason}")
