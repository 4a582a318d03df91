"""The measurement of the end-of-turn judge; and the judge on human speech, where apt has a Debian mirror."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ariagent.caller.voice import write_wav
from ariagent.synthesis.sources import candidates, system_sources
from ariagent.turns import modelfile
from lab.judging import Judgements, curve, main, prompts, row
from lab.packages import default_lab_dir
from lab.sentences import RATE_HZ, pause
from tests.lab.noises import sound


def test_the_pause_is_in_the_middle() -> None:
    speech = sound(0.3, 0.2, 0.5, 0.06, 1.04, 0.2, 0.2)  # 2.5 s; the longer pauses are not in the middle third
    assert 0.98 <= pause(speech) / RATE_HZ <= 1.08


def test_prompts_of_one_sentence_are_chosen_and_their_silence_is_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/asterisk/sounds/en_X"
    folder.mkdir(parents=True)
    write_wav(folder / "short.wav", sound(1.0), RATE_HZ)
    write_wav(folder / "long.wav", sound(4.0), RATE_HZ)
    write_wav(folder / "empty.wav", sound(0.0, 2.5), RATE_HZ)
    write_wav(folder / "right.wav", np.concatenate((sound(0.0, 0.5), sound(2.2, 0.7))), RATE_HZ)
    (chosen,) = prompts(tmp_path)
    assert len(chosen) == pytest.approx(2.2 * RATE_HZ, abs=RATE_HZ / 50)


class Level:
    """A judge that goes by the length."""

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        return 0.8 if len(pcm) / 2 / rate_hz > 2.0 else 0.2


def test_a_row_has_the_shares_above_each_threshold() -> None:
    speech = [sound(1.2, 0.1, 1.2), sound(0.8, 0.1, 0.8)]
    assert (
        row("xx", Judgements.of(Level(), speech, [each[: pause(each)] for each in speech]))
        == "| xx, 2 prompts | 0.50 / 0.00 | 0.50 / 0.00 | 0.00 / 0.00 |"
    )


def test_a_curve_has_the_cut_ins_that_thresholds_and_hold_times_lead_to() -> None:
    whole, cut = np.array([0.95, 0.9, 0.85, 0.8, 0.2]), np.array([0.75, 0.1, 0.1, 0.1, 0.1])
    found = Judgements(whole, cut)
    # Pauses of 500 to 700 ms are cut into if the judge is wrong; those of 800 to 1500 ms always.
    assert found.cut_ins(0.7, 800) == pytest.approx(3 * 0.2 + 3)
    assert found.cut_ins(0.7, 1600) == pytest.approx(6 * 0.2)
    assert found.cut_ins(0.78, 1200) == pytest.approx(1)
    *table, verdict = curve("xx", found)
    assert "| 0.7 | 0.80 | 0.20 | 3.6 | 2.8 | 2.0 | 1.2 |" in table
    assert "0.7 with 1000 ms" in verdict
    assert "0.8 with" not in verdict  # too few whole turns are answered at once
    assert curve("xx", Judgements(cut, cut))[-1].endswith("no threshold and hold time keep both")


can_fetch = pytest.mark.skipif(
    shutil.which("apt-get") is None or not candidates(system_sources()), reason="apt has no Debian mirror here"
)


@pytest.mark.long
@can_fetch
def test_the_judge_hears_where_human_speech_ends(capsys: pytest.CaptureFixture[str]) -> None:
    if not (modelfile.in_lab(default_lab_dir()) / modelfile.MODEL.name).exists():
        pytest.skip("make setup has not fetched the model")
    assert main(["en"]) == 0
    printed = capsys.readouterr().out
    found = re.search(r"\| en, 45 prompts \| ([0-9.]+) / ([0-9.]+) ", printed)
    assert found is not None
    complete, cut = map(float, found.groups())
    assert complete > 0.85
    assert cut < 0.5
    assert "judgement " in printed
