"""The machine's apt sources: both written forms, and which source is a Debian mirror."""

from pathlib import Path

import pytest

from ariagent.synthesis.sources import AptSource, candidates, parse_deb822, parse_one_line, render, system_sources

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_deb822_stanzas_with_continuation_lines_and_comments() -> None:
    text = (
        "# a mirror\nTypes: deb deb-src\nURIs: http://mirror.test/debian http://other.test/debian/\n"
        "Suites: trixie\n trixie-updates\nComponents: main contrib\n"
        f"# the keys\nSigned-By: {KEYRING}\n\n"
        "Types: deb-src\nURIs: http://mirror.test/sources\nSuites: trixie\nComponents: main\n"
    )
    options = (("Signed-By", KEYRING),)
    assert list(parse_deb822(text)) == [
        AptSource("http://mirror.test/debian", ("trixie", "trixie-updates"), ("main", "contrib"), options),
        AptSource("http://other.test/debian/", ("trixie", "trixie-updates"), ("main", "contrib"), options),
    ]


def test_deb822_key_inside_the_stanza_survives_rendering() -> None:
    text = (
        "Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie\nComponents: main\nSigned-By:\n"
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBFx\n -----END PGP PUBLIC KEY BLOCK-----\n"
    )
    (source,) = parse_deb822(text)
    (again,) = parse_deb822(render(source, "forky"))
    assert again.options == source.options
    assert again.options[0][1].count("\n") == 4
    assert again.suites == ("forky",)


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_an_unsigned_source_is_none_for_us_whatever_the_machine_allows(answer: str) -> None:
    stanza = f"Types: deb\nURIs: http://mirror.test/debian\nSuites: sid\nComponents: main\nTrusted: {answer}\n"
    line = f"deb [trusted={answer}] http://mirror.test/debian sid main\n"
    for source in (*parse_deb822(stanza), *parse_one_line(line)):
        assert source.options == ()
        assert "trusted" not in render(source, "forky").lower()


def test_deb822_disabled_stanza_is_left_out() -> None:
    text = "Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie\nComponents: main\nEnabled: no\n"
    assert list(parse_deb822(text)) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "deb http://mirror.test/debian bookworm main contrib # all",
            [AptSource("http://mirror.test/debian", ("bookworm",), ("main", "contrib"))],
        ),
        (
            f"deb [arch=amd64 signed-by={KEYRING} trusted=yes] https://mirror.test/debian/ sid main",
            [
                AptSource(
                    "https://mirror.test/debian/",
                    ("sid",),
                    ("main",),
                    (("Signed-By", KEYRING),),
                )
            ],
        ),
        ("deb http://flat.test/repository ./", [AptSource("http://flat.test/repository", ("./",), ())]),
        ("deb-src http://mirror.test/debian bookworm main", []),
        ("# deb http://mirror.test/debian bookworm main", []),
        ("", []),
    ],
)
def test_one_line_form(line: str, expected: list[AptSource]) -> None:
    assert list(parse_one_line(line)) == expected


def test_system_sources_reads_both_forms_and_ignores_other_files(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://a.test/debian bookworm main\n")
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "b.list").write_text("deb http://b.test/debian bookworm main\n")
    (parts / "c.sources").write_text("Types: deb\nURIs: http://c.test/debian\nSuites: bookworm\nComponents: main\n")
    (parts / "d.list.disabled").write_text("deb http://d.test/debian bookworm main\n")
    assert [source.uri for source in system_sources(tmp_path)] == [
        "http://a.test/debian",
        "http://b.test/debian",
        "http://c.test/debian",
    ]


def test_system_sources_of_a_machine_without_apt_are_none(tmp_path: Path) -> None:
    assert system_sources(tmp_path / "missing") == []


def test_candidates_are_debian_main_archives_only() -> None:
    main = AptSource("http://mirror.test/pub/debian/", ("trixie", "trixie-updates"), ("main",))
    sources = [
        AptSource("http://mirror.test/debian-security", ("trixie-security",), ("main",)),
        AptSource("http://mirror.test/security/debian-security", ("bookworm/updates",), ("main",)),
        AptSource("http://vendor.test/apt", ("stable",), ("vendor",)),
        AptSource("http://vendor.test/repository", ("stable",), ("main",)),
        main,
        AptSource("http://mirror.test/pub/debian", ("trixie-backports",), ("main",)),
    ]
    found = candidates(sources)
    assert found[0] == main
    assert [source.uri for source in found] == [main.uri, "http://vendor.test/repository"]


def test_ubuntu_sources_hold_no_candidate() -> None:
    sources = [
        AptSource("http://mirror.test/ubuntu/", ("noble", "noble-updates"), ("main", "universe")),
        AptSource("http://security.mirror.test/ubuntu/", ("noble-security",), ("main", "universe")),
    ]
    assert candidates(sources) == []


def test_render_names_the_suite_and_keeps_the_trust() -> None:
    source = AptSource("http://mirror.test/debian", ("bookworm",), ("main",), (("Signed-By", KEYRING),))
    text = render(source, "forky")
    assert "URIs: http://mirror.test/debian\nSuites: forky\nComponents: main\n" in text
    assert text.endswith(f"Signed-By: {KEYRING}\n")
