"""The outcome of rehearsals as JUnit XML, which every CI server reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from xml.etree import ElementTree

from ariagent.rehearsal.rehearse import Outcome

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""


def junit(suite: str, outcomes: Sequence[Outcome], began_at: str) -> str:
    """A document with one test suite; ``began_at`` as ISO 8601."""
    root = ElementTree.Element("testsuites")
    suite_element = ElementTree.SubElement(
        root,
        "testsuite",
        name=_text(suite),
        tests=str(len(outcomes)),
        failures=str(sum(bool(outcome.failures) and not outcome.error for outcome in outcomes)),
        errors=str(sum(bool(outcome.error) for outcome in outcomes)),
        skipped="0",
        time=f"{sum(outcome.duration_s for outcome in outcomes):.3f}",
        timestamp=began_at,
    )
    for outcome in outcomes:
        case = ElementTree.SubElement(
            suite_element,
            "testcase",
            classname=_text(suite),
            name=_text(outcome.script.title or PurePath(outcome.script.source).stem),
            file=_text(outcome.script.source),
            time=f"{outcome.duration_s:.3f}",
        )
        if not outcome.passed:
            kind = "error" if outcome.error else "failure"
            element = ElementTree.SubElement(case, kind, message=_text(outcome.causes[0]), type="rehearsal")
            element.text = _text("\n".join(outcome.causes))
        if conversation := outcome.conversation():
            ElementTree.SubElement(case, "system-out").text = _text("\n".join(conversation))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _text(value: str) -> str:
    return _FORBIDDEN.sub("\ufffd", value)
