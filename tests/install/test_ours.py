"""Our lines in other people's files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.install.asteriskconf import left_open, parse
from ariagent.install.ours import added_to, has_ours, taken_out


@given(st.binary(max_size=200), st.sampled_from([(), ("[general]", "enabled = yes")]))
def test_what_was_added_can_be_taken_out(content: bytes, before: tuple[str, ...]) -> None:
    changed = added_to(content, "queues.conf", before)
    assert has_ours(changed)
    is_whole = not content or content.endswith(b"\n") or left_open(content) is not None
    assert taken_out(changed) == (content if is_whole else content + b"\n")


@given(st.text(";-\\ax=\n", max_size=40))
def test_asterisk_reads_our_line_whatever_comments_there_are(content: str) -> None:
    changed = added_to(f"[a]\n{content}".encode(), "x.conf").decode()
    document = parse("", lambda name: changed if name == "" else None, lambda pattern: [])
    assert document is not None
    assert document.named_files == ["ariagent/x.conf"]


def test_a_last_line_without_an_end_does_not_swallow_ours() -> None:
    assert added_to(b"; a comment", "x.conf").splitlines()[-1] == b'#tryinclude "ariagent/x.conf"'


@pytest.mark.parametrize("later", [b"", b"[site]\nx = 1\n", b'#tryinclude "other.conf"\n'])
def test_lines_that_came_later_stay(later: bytes) -> None:
    assert taken_out(added_to(b"[a]\n", "x.conf") + later) == b"[a]\n" + later


@pytest.mark.parametrize("mark", [b";", b"; ", b";; "])
def test_an_include_that_was_made_a_comment_takes_no_line_of_the_sites_with_it(mark: bytes) -> None:
    changed = added_to(b"[a]\n", "x.conf").replace(b'#tryinclude "', mark + b'#tryinclude "')
    later = b'[later]\nexten => 1,1,NoOp()\n#tryinclude "other.conf"\n'
    assert taken_out(changed + later) == b"[a]\n" + later


@pytest.mark.parametrize("later", [b"[later]\n", b'#tryinclude "other.conf"\n[later]\n', added_to(b"[b]\n", "x.conf")])
def test_without_the_include_only_the_comment_goes(later: bytes) -> None:
    changed = added_to(b"[a]\n", "x.conf").replace(b'#tryinclude "ariagent/x.conf"\n', b"")
    assert taken_out(changed + later) == b"[a]\n" + taken_out(later)


def test_lines_of_the_sites_above_the_include_stay_with_their_section() -> None:
    begins = ("[general]", "enabled = yes", "bindaddr = 127.0.0.1", "sessionlimit = 200")
    general = "".join(f"{line}\n" for line in begins).encode()
    assert taken_out(added_to(b"[a]\n", "http.conf", begins) + b"[b]\n") == b"[a]\n" + general + b"[b]\n"


def test_lines_that_moved_are_found() -> None:
    ours = added_to(b"", "x.conf")
    assert taken_out(b"[a]\n" + ours + b"[b]\n") == b"[a]\n[b]\n"
