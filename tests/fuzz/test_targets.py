"""The fuzzing targets take what they are begun with, and some of what else there is."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.loading import loaded

targets = loaded("fuzz_targets", Path(__file__).parent / "targets.py")


@pytest.mark.parametrize("name", targets.TARGETS)
def test_seeds(name: str) -> None:
    for seed in targets.SEEDS[name]:
        targets.TARGETS[name](seed)
        for at in range(0, len(seed), 7):
            targets.TARGETS[name](seed[:at] + bytes([seed[at] ^ 0x41]) + seed[at + 1 :])


@pytest.mark.parametrize("name", targets.TARGETS)
@settings(max_examples=examples(100), deadline=None)
@given(data=st.binary(max_size=300))
@example(data=b"")
def test_any_bytes(name: str, data: bytes) -> None:
    targets.TARGETS[name](data)
