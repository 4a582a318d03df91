"""The page in a real browser without a screen: that it is drawn, in light and dark, and that its words stay words."""

import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ariagent.errors import ConfigurationError
from ariagent.records import page
from ariagent.records.store import Store
from ariagent.records.timeline import build
from lab.packages import default_lab_dir, ensure_package, loader

PACKAGE = "chromium-headless-shell"
Browse = Callable[..., str]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The argv prefix of a headless Chromium: the machine's own, else Debian's, unpacked into the lab."""
    for name in (PACKAGE, "chromium", "chromium-browser", "google-chrome"):
        if own := shutil.which(name):
            return [own, "--headless"]
    try:
        root = ensure_package(PACKAGE, default_lab_dir())
    except ConfigurationError as error:
        pytest.skip(f"no Chromium here, and none to be had: {error}")
    # It looks for its files beside its program, which is the loader here; its children are started the same way.
    folder = root / "usr/lib/chromium"
    program, *rest = loader(root)
    place = tmp_path_factory.mktemp("chromium")
    for file in folder.iterdir():
        (place / file.name).symlink_to(file)
    own_loader = Path(shutil.copy(program, place / "loader.so"))
    command = [str(own_loader), *rest, str(folder / PACKAGE)]
    child = place / "child.sh"
    child.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
    child.chmod(0o755)
    return [*command, f"--browser-subprocess-path={child}"]


@pytest.fixture
def browse(browser: list[str], tmp_path: Path) -> Browse:
    def run(*words: str, html: str) -> str:
        (tmp_path / "page.html").write_text(html, encoding="utf-8")
        switches = ("--no-sandbox", "--disable-gpu", "--no-zygote", "--hide-scrollbars", "--virtual-time-budget=2000")
        offline = (f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND")
        command = [*browser, *switches, *offline, *words, (tmp_path / "page.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


@pytest.fixture
def html(store: Store, sample: Callable[..., str]) -> str:
    call = store.find(sample(said="<script>document.title='broken'</script><img src=x onerror=\"document.title='x'\">"))
    return page.render(build(call, store.events(call), store.waves(call), store.use(call)), "2026-11-22 19:30:18")


def mean(left: int, up: int, corner: int) -> int:
    return (left + up) // 2


def nearest(left: int, up: int, corner: int) -> int:
    start = left + up - corner
    return min((left, up, corner), key=lambda each: abs(start - each))


def pixels(png: bytes) -> np.ndarray:
    """Rows, columns, red-green-blue of a PNG with 8 bits a channel (its filters: PNG specification, section 9)."""
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert depth == 8
    channels = {2: 3, 6: 4}[kind]
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    image = np.zeros((height, width, channels), np.int32)
    above = np.zeros((width, channels), np.int32)
    for y in range(height):
        line = raw[y, 1:].reshape(width, channels).astype(np.int32)
        filter_ = raw[y, 0]
        if filter_ == 2:
            line += above
        elif filter_ == 1:
            line = np.cumsum(line, axis=0)
        elif filter_:
            guess = mean if filter_ == 3 else nearest
            left = corner = [0] * channels
            for x, (given, up) in enumerate(zip(line.tolist(), above.tolist(), strict=True)):
                left = [(value + guess(*near)) & 255 for value, *near in zip(given, left, up, corner, strict=True)]
                line[x] = left
                corner = up
        above = image[y] = line & 255
    return image[:, :, :3]


def near(image: np.ndarray, colour: str) -> np.ndarray:
    wanted = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    return np.asarray(np.abs(image - wanted).max(axis=2) < 24)


@pytest.mark.parametrize(
    ("scheme", "paper", "caller", "agent"),
    [
        ("1", "#ffffff", "#1769aa", "#9a3f8f"),
        pytest.param("0", "#14171a", "#63b3f2", "#dd8fd2", marks=pytest.mark.long),
    ],
    ids=["light", "dark"],
)
def test_both_sides_are_drawn_on_either_side_of_the_axis(
    browse: Browse, html: str, tmp_path: Path, scheme: str, paper: str, caller: str, agent: str
) -> None:
    shot = tmp_path / "page.png"
    switches = (f"--blink-settings=preferredColorScheme={scheme}", "--force-color-profile=srgb")
    browse(f"--screenshot={shot}", "--window-size=900,900", *switches, html=html)
    image = pixels(shot.read_bytes())
    assert image.shape == (900, 900, 3)
    assert near(image, paper).mean() > 0.4
    # The strip is the only place with so much of either colour.
    rows = {side: np.flatnonzero(near(image, colour).sum(axis=1) > 15) for side, colour in
            (("caller", caller), ("agent", agent))}  # fmt: skip
    assert len(rows["caller"]) > 15
    assert len(rows["agent"]) > 15
    assert rows["caller"].min() < rows["agent"].min(), "the caller is above the agent"


def test_what_the_caller_said_is_not_run(browse: Browse, html: str) -> None:
    seen = browse("--dump-dom", html=html)
    assert "<title>Call 1795357064.12</title>" in seen
    assert "&lt;script&gt;document.title=" in seen
    # Neither would it be without the page's policy.
    seen = browse("--dump-dom", html=html.replace("Content-Security-Policy", "no-policy"))
    assert "<title>Call 1795357064.12</title>" in seen


def test_it_is_laid_out_without_running_over_the_side(browse: Browse, html: str) -> None:
    """Measured by a script of the test's own, in a page without the policy, on a telephone's and a desk's width."""
    script = (
        "<script>document.title = JSON.stringify({wide: document.documentElement.scrollWidth, seen: innerWidth,"
        " entries: document.querySelectorAll('.talk li').length})</script></body>"
    )
    test = html.replace("Content-Security-Policy", "no-policy").replace("</body>", script)
    for width in (500, 1280):
        seen = browse("--dump-dom", f"--window-size={width},900", html=test)
        title = json.loads(seen.partition("<title>")[2].partition("</title>")[0])
        assert title["wide"] <= title["seen"] == width
        assert title["entries"] == 13


def test_it_prints(browse: Browse, html: str, tmp_path: Path) -> None:
    browse(f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer", html=html)
    pdf = (tmp_path / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 1 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page/") <= 4
