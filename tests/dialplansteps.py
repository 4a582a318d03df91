"""Steps of a running Asterisk's dialplan that a test has otherwise: waits that nobody can set, made shorter."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lab.asterisk import AsteriskInstance


async def _write(asterisk: AsteriskInstance, extension: str, context: str, priority: str, step: str) -> None:
    application, arguments = step.rstrip(")").split("(", 1)
    line = f'{extension},{priority},{application}("{arguments}")'
    said = await asterisk.cli(f"dialplan add extension {line} into {context} replace")
    assert "replace by" in said, said


@asynccontextmanager
async def replaced(asterisk: AsteriskInstance, place: str, step: str, instead: str) -> AsyncIterator[None]:
    """The one step ``step`` of ``EXTENSION@CONTEXT`` is ``instead``; it has no label. Afterwards it is as before."""
    extension, context = place.rsplit("@", 1)
    shown = await asterisk.cli(f"dialplan show {context}")
    # Only the first step has the extension's name before it.
    of_extension = re.search(rf"^ +'{re.escape(extension)}' => +(.*?)(?=^ +'|\Z)", shown, re.DOTALL | re.MULTILINE)
    assert of_extension, shown
    found = re.findall(rf"^ *(\d+)\. {re.escape(step)} ", of_extension[1], re.MULTILINE)
    assert len(found) == 1, f"{place} has {len(found)} steps {step}:\n{shown}"
    await _write(asterisk, extension, context, found[0], instead)
    try:
        yield
    finally:
        await _write(asterisk, extension, context, found[0], step)
