"""An installation is written, and every byte of it taken back."""

import errno
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from ariagent import __version__
from ariagent.config import Settings
from ariagent.install import store as store_module
from ariagent.install.asteriskconf import parse
from ariagent.install.ours import STATE, taken_out
from ariagent.install.plan import AMI_PASSWORD, ARI_PASSWORD, Plan, lines_left
from ariagent.install.render import seats
from ariagent.install.site import Site, find
from ariagent.install.store import InstallError, Store, alone
from ariagent.install.survey import FILES
from tests.install.conftest import FREEPBX, LINKS, STOCK, MakeSite, plan_of, tree

COMPANY = {
    **{name: STOCK[name] for name in ("asterisk.conf", "extensions.conf", "queues.conf", "pjsip.conf")},
    "modules.conf": "[modules]\nautoload = no\nload = pbx_config.so\n[global]\n",
}
"""A site that has no ARI, no HTTP server and no manager interface."""

SHAPES = {
    "stock": (STOCK, {}),
    "company": (COMPANY, {}),
    "freepbx": (FREEPBX, {"human_queue": "201", "contexts": ("from-internal-custom",)}),
}


def write(plan: Plan) -> Store:
    assert plan.found.obstacles == []
    store = Store(plan.site.root / STATE)
    store.write(plan, plan.choices, {"ari_url": plan.found.ari_url})
    return store


def remove(store: Store) -> list[str]:
    manifest = store.read()
    assert manifest is not None
    return store.remove(manifest)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_byte_comes_back(make_site: MakeSite, shape: str) -> None:
    files, changes = SHAPES[shape]
    site = make_site(files)
    before = tree(site.root)
    store = write(plan_of(site, **changes))
    assert tree(site.root) != before
    assert remove(store) == []
    assert tree(site.root) == before
    assert not (site.root / "var" / "lib").exists()
    assert not (site.root / "etc" / "ariagent").exists()


@pytest.mark.parametrize("addresses", [{}, {"service_address": "10.0.0.7", "asterisk_address": "fd00::5"}])
def test_all_lines_that_are_added_are_taken_out_without_the_list(
    make_site: MakeSite, addresses: dict[str, str]
) -> None:
    site = make_site(COMPANY)
    for change in plan_of(site, http_port=8090, ami_port=5040, **addresses).changes:
        if change.path.parent == site.etc:
            assert taken_out(change.after) == (change.without or b"")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_second_time_nothing_is_left_to_do(make_site: MakeSite, shape: str) -> None:
    files, changes = SHAPES[shape]
    site = make_site(files)
    write(plan_of(site, **changes))
    again = plan_of(site, **changes)
    assert again.found.obstacles == []
    assert again.changes == []
    written = tree(site.root / "etc")
    write(again)
    assert tree(site.root / "etc") == written


@pytest.mark.parametrize("shape", SHAPES)
def test_what_asterisk_will_read_is_whole(make_site: MakeSite, shape: str) -> None:
    files, changes = SHAPES[shape]
    site = make_site(files)
    write(plan_of(site, **changes))

    def read(name: str) -> str | None:
        path = site.etc / name
        return path.read_text() if path.exists() else None

    for name in ("extensions.conf", "queues.conf", "ari.conf", "http.conf", "manager.conf", "modules.conf"):
        document = parse(name, read, lambda pattern: [])
        assert document is not None
        assert (document.problem, document.cut_off) == ("", [])
        # Asterisk refuses an ari.conf with two, and reads the first only of the others.
        assert len(document.titled("general")) <= 1, name
    ari = parse("ari.conf", read, lambda pattern: [])
    assert ari is not None
    assert ari.value("general", "enabled") == "yes"
    assert ari.value("ariagent", "password") == (site.root / "etc" / "ariagent" / ARI_PASSWORD).read_text().strip()
    manager = parse("manager.conf", read, lambda pattern: [])
    assert manager is not None
    assert manager.value("general", "enabled") == "yes"
    assert manager.value("ariagent", "secret") == (site.root / "etc" / "ariagent" / AMI_PASSWORD).read_text().strip()
    queues = parse("queues.conf", read, lambda pattern: [])
    assert queues is not None
    assert len(queues.values("frontline", "member")) == 10
    dialplan = parse("extensions.conf", read, lambda pattern: [])
    assert dialplan is not None
    assert [value.value for value in dialplan.values("globals", "ARIAGENT_DIALPLAN")] in ([__version__], [])


def test_the_list_is_not_where_the_services_user_could_replace_it() -> None:
    """Root does what it says. In a folder that the user owns a folder of root's can be renamed, and another be made."""
    assert not STATE.is_relative_to(Settings().state_directory.relative_to("/"))


def test_only_our_lines_and_our_files_are_added(make_site: MakeSite) -> None:
    site = make_site(FREEPBX)
    before = tree(site.root)
    write(plan_of(site, human_queue="201", contexts=("from-internal-custom",)))
    after = tree(site.root / "etc" / "asterisk")
    changed = {name for name, content in after.items() if before.get(f"etc/asterisk/{name}") != content}
    assert {name for name in changed if not name.startswith("ariagent/")} == {
        "extensions_custom.conf",
        "queues_custom.conf",
        "ari_additional_custom.conf",
        "manager_custom.conf",
    }
    for name in LINKS:
        assert (site.etc / name).is_symlink()
        assert (site.root / "var" / "www" / name).read_text() == FREEPBX[name]


def test_nothing_is_written_through_a_link(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    target = site.root / "elsewhere.conf"
    (site.etc / "queues.conf").rename(target)
    (site.etc / "queues.conf").symlink_to(target)
    [obstacle] = plan_of(site).found.obstacles
    assert obstacle.startswith(f"{site.etc}/queues.conf is a symbolic link to {target}")
    assert '#tryinclude "ariagent/queues.conf"' in obstacle
    # The administrator does it.
    target.write_text(target.read_text() + '#tryinclude "ariagent/queues.conf"\n')
    plan = plan_of(site)
    assert plan.found.obstacles == []
    before = target.read_text()
    store = write(plan)
    assert target.read_text() == before
    remove(store)
    assert target.read_text() == before


def test_passwords_are_made_once_and_never_shown(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    first = plan_of(site)
    assert first.passwords != plan_of(site).passwords  # nothing is written yet
    diff = first.diff()
    write(first)
    assert plan_of(site).passwords == first.passwords
    for text in (diff, json.dumps((site.root / STATE / "manifest.json").read_text())):
        for secret in (*first.passwords, "not-ours"):
            assert secret not in text
    assert diff.count("********") >= 4


def test_a_password_that_is_there_is_used(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    folder = site.root / "etc" / "ariagent"
    folder.mkdir()
    (folder / ARI_PASSWORD).write_text("one;two\n")
    store = write(plan_of(site))
    assert "password = one\\;two\n" in (site.etc / "ariagent" / "ari.conf").read_text()
    remove(store)
    assert (folder / ARI_PASSWORD).read_text() == "one;two\n"


def test_secrets_are_for_owner_and_group_only(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    store = write(plan_of(site))
    for path in ((site.etc / "ariagent").iterdir(), (site.root / "etc" / "ariagent").iterdir()):
        assert {stat.S_IMODE(each.stat().st_mode) for each in path} == {0o640}
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in store.folder.iterdir()} == {0o600}


def test_a_file_keeps_its_mode_and_its_time_comes_back(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    path = site.etc / "queues.conf"
    path.chmod(0o604)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    store = write(plan_of(site))
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert path.stat().st_mtime > 1_000_000_000
    remove(store)
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime) == (0o604, 1_000_000_000)


def test_what_somebody_changed_since_stays(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    store = write(plan_of(site))
    path = site.etc / "queues.conf"
    path.write_text("[general]\nx = 1\n" + path.read_text() + "[new]\n")
    assert plan_of(site).changes == []
    assert remove(store) == [f"{path} stays: it was changed after the installation; only ariagent's lines were removed"]
    assert path.read_text() == "[general]\nx = 1\n" + STOCK["queues.conf"] + "[new]\n"


def test_lines_that_somebody_took_out_come_back_at_the_next_installation(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    write(plan_of(site))
    path = site.etc / "queues.conf"
    path.write_text(STOCK["queues.conf"] + "[new]\n")
    plan = plan_of(site)
    assert [change.path for change in plan.changes] == [path]
    store = write(plan)
    assert remove(store) == []
    assert path.read_text() == STOCK["queues.conf"] + "[new]\n"


def test_a_file_of_ours_that_somebody_changed_is_kept_apart(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    store = write(plan_of(site))
    path = site.etc / "ariagent" / "extensions.conf"
    path.write_text(path.read_text() + "; mine\n")
    notes = remove(store)
    assert notes[0] == f"{path} was changed after the installation; it was moved to {store.folder / 'kept'}"
    assert "; mine" in (store.folder / "kept" / "extensions.conf").read_text()
    assert not (site.etc / "ariagent").exists()


def test_a_file_that_was_made_and_then_used_by_the_site_stays(make_site: MakeSite) -> None:
    site = make_site(COMPANY)
    store = write(plan_of(site))
    path = site.etc / "http.conf"
    path.write_text(path.read_text() + "[post_mappings]\n")
    assert remove(store) == [f"{path} stays: it was changed after the installation; only ariagent's lines were removed"]
    assert path.read_text() == "[post_mappings]\n"


@pytest.mark.parametrize("name", ["http.conf", "ari.conf", "manager.conf"])
@pytest.mark.parametrize("takes_ours_out", [False, True])
def test_a_file_that_was_made_is_the_sites_after_another_installation(
    make_site: MakeSite, name: str, takes_ours_out: bool
) -> None:
    site = make_site(COMPANY)
    write(plan_of(site))
    path = site.etc / name
    path.write_text(("" if takes_ours_out else path.read_text()) + "[the_site]\nx = y\n")
    write(plan_of(site))
    remove(write(plan_of(site)))
    assert path.read_text() == "[the_site]\nx = y\n"


def test_a_file_that_was_made_and_then_written_by_the_site_stays_in_its_place(make_site: MakeSite) -> None:
    site = make_site(COMPANY)
    store = write(plan_of(site))
    path = site.etc / "http.conf"
    path.write_text("[general]\nenabled = yes\n")
    assert remove(store) == [f"{path} stays: it was changed after the installation; only ariagent's lines were removed"]
    assert path.read_text() == "[general]\nenabled = yes\n"


def test_a_password_that_was_changed_by_hand_stays_after_another_installation(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    write(plan_of(site))
    path = site.root / "etc" / "ariagent" / ARI_PASSWORD
    path.write_text("mine\n")
    remove(write(plan_of(site)))
    assert path.read_text() == "mine\n"


def test_an_upgrade_shows_only_what_is_new(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    write(plan_of(site))
    monkeypatch.setattr("ariagent.install.render.__version__", "99.0")
    plan = plan_of(site)
    assert [change.path.name for change in plan.changes] == ["dialplan.conf"]
    assert [line for line in plan.diff().splitlines() if line.startswith(("+", "-"))][2:] == [
        f"-ARIAGENT_DIALPLAN = {__version__}",
        "+ARIAGENT_DIALPLAN = 99.0",
    ]
    remove(write(plan))
    assert tree(site.root) == before


def test_another_choice_changes_only_what_it_is_about(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    write(plan_of(site))
    plan = plan_of(site, seats=12)
    assert [change.path.name for change in plan.changes] == ["queues.conf"]
    write(plan)
    assert (site.etc / "ariagent" / "queues.conf").read_text().count("member =>") == 12


def test_nothing_is_left_when_choices_have_changed(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    write(plan_of(site))
    store = write(plan_of(site, general=False, numbers=("7001",)))
    assert remove(store) == []
    assert tree(site.root) == before
    assert not store.folder.exists()


def test_what_is_not_needed_any_more_goes(make_site: MakeSite) -> None:
    site = make_site(COMPANY)
    write(plan_of(site))
    modules = site.etc / "modules.conf"
    assert '"ariagent/modules.conf"' in modules.read_text()
    # The site loads everything now.
    modules.write_text(modules.read_text().replace("autoload = no", "autoload = yes"))
    store = write(plan_of(site))
    assert not (site.etc / "ariagent" / "modules.conf").exists()
    assert modules.read_text() == COMPANY["modules.conf"].replace("autoload = no", "autoload = yes")
    manifest = store.read()
    assert manifest is not None
    assert not [path for path in manifest.files if path.endswith("modules.conf")]


def fail_after(monkeypatch: pytest.MonkeyPatch, count: int, error: BaseException) -> None:
    """The last step of a write fails: for the list, then for ``count`` files it does not."""
    real = store_module._put
    written = 0

    def put(scratch: Path, path: Path) -> None:
        nonlocal written
        if path.name != store_module.LIST and path.parent.name != STATE.name:
            written += 1
            if written == count + 1:
                raise error
        real(scratch, path)

    monkeypatch.setattr(store_module, "_put", put)


@pytest.mark.parametrize("after", range(14))
def test_an_installation_that_was_cut_off_can_be_finished_or_taken_back(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The process ends as by SIGKILL: nothing runs any longer."""
    site = make_site(STOCK)
    before = tree(site.root)
    plan, store = plan_of(site), Store(site.root / STATE)
    with monkeypatch.context() as patch:
        fail_after(patch, after, KeyboardInterrupt())
        patch.setattr(Store, "_undo", lambda *_: None)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            store.write(plan, plan.choices, {})
    if after % 2:
        write(plan_of(site))
        assert plan_of(site).changes == []
    assert remove(store) == []
    assert tree(site.root) == before
    assert not (site.etc / "ariagent").exists()


@pytest.mark.parametrize("error", [InstallError("no room"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [0, 5, 9, 13])
def test_an_installation_that_fails_takes_itself_back(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException
) -> None:
    site = make_site(STOCK)
    times = {path: path.stat().st_mtime_ns for path in site.etc.iterdir()}
    before = tree(site.root)
    plan = plan_of(site)
    fail_after(monkeypatch, after, error)
    with pytest.raises(type(error)):
        Store(site.root / STATE).write(plan, plan.choices, {})
    assert tree(site.root) == before
    assert {path: path.stat().st_mtime_ns for path in site.etc.iterdir()} == times
    assert not (site.root / "var" / "lib").exists()
    assert not (site.root / "etc" / "ariagent").exists()


def test_a_change_that_fails_leaves_the_installation_as_it_was(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    store = write(plan_of(site))
    installed = tree(site.root)
    plan = plan_of(site, seats=20, numbers=("7000", "7001"))
    assert len(plan.changes) == 2
    with monkeypatch.context() as patch:
        fail_after(patch, 1, InstallError("no room"))
        with pytest.raises(InstallError):
            store.write(plan, plan.choices, {})
    assert tree(site.root) == installed
    remove(store)
    assert tree(site.root) == before


def test_nothing_is_changed_before_everything_is_on_the_disk(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing fails as on a full disk."""
    site = make_site(STOCK)
    before = tree(site.root)
    plan = plan_of(site)
    count = 0

    def sync(handle: int) -> None:
        nonlocal count
        count += 1
        if count == 12:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", sync)
    with pytest.raises(InstallError, match="No space left on device") as caught:
        Store(site.root / STATE).write(plan, plan.choices, {})
    assert "Make room" in str(caught.value.remedy)
    assert tree(site.root) == before


def test_a_removal_that_was_cut_off_can_be_finished(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(STOCK)
    times = {path: path.stat().st_mtime_ns for path in site.etc.iterdir()}
    before = tree(site.root)
    store = write(plan_of(site))
    with monkeypatch.context() as patch:
        fail_after(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            remove(store)
    assert remove(store) == []
    assert tree(site.root) == before
    assert {path: path.stat().st_mtime_ns for path in site.etc.iterdir()} == times


def test_a_copy_that_is_gone_costs_nothing_but_a_note(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    store = write(plan_of(site))
    next(store.folder.glob("queues.conf.*")).unlink()
    assert len(remove(store)) == 1
    assert tree(site.root) == before


def test_a_list_that_is_gone_is_made_anew(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    store = write(plan_of(site))
    (store.folder / store_module.LIST).unlink()
    assert lines_left(site) == [site.etc / name for name in FILES[:5]]
    remove(write(plan_of(site)))
    assert lines_left(site) == []
    shutil.rmtree(site.root / "etc" / "ariagent")  # passwords that were there
    after = tree(site.root)
    assert after.pop("etc/asterisk/http.conf").rstrip() == before.pop("etc/asterisk/http.conf").rstrip()
    assert after == before
    assert not (site.etc / "ariagent").exists()


def test_a_list_of_a_newer_version_is_followed(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    before = tree(site.root)
    store = write(plan_of(site))
    path = store.folder / store_module.LIST
    document = json.loads(path.read_text())
    document["colour"] = "red"
    for entry in document["files"].values():
        entry["colour"] = "red"
    path.write_text(json.dumps(document))
    remove(store)
    assert tree(site.root) == before


def test_two_at_a_time_are_one_too_many(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(InstallError, match="another"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    plan = plan_of(site)
    (site.root / "var").write_text("no folder")
    with pytest.raises(InstallError, match=r"cannot create .*var/lib"):
        Store(site.root / STATE).write(plan, plan.choices, {})
    assert (site.etc / "queues.conf").read_text() == STOCK["queues.conf"]


def test_a_list_that_cannot_be_read_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InstallError, match="is damaged"):
        Store(tmp_path).read()


def test_more_than_99_seats_have_three_digits() -> None:
    assert seats(3) == ["01", "02", "03"]
    assert seats(100)[0] == "001"
    assert seats(100)[-1] == "100"


def test_a_copied_tree_is_read_below_its_root(make_site: MakeSite) -> None:
    site: Site = make_site(STOCK)
    assert site.etc == site.root / "etc" / "asterisk"
    assert site.folders.modules == site.root / "usr" / "lib" / "asterisk" / "modules"
    assert site.console is None
    assert find(conf=site.etc / "asterisk.conf").conf == site.etc / "asterisk.conf"


@pytest.mark.parametrize("what", ["list", "folder", "folder above", "link"])
def test_a_list_that_others_can_change_is_not_followed(make_site: MakeSite, what: str) -> None:
    site = make_site(STOCK)
    store = write(plan_of(site))
    before = tree(site.root / "etc")
    if what == "list":
        (store.folder / "manifest.json").chmod(0o666)
    elif what == "folder":
        store.folder.chmod(0o777)
    elif what == "folder above":
        store.folder.parent.chmod(0o775)
    else:
        store.folder.rename(site.root / "elsewhere")
        store.folder.symlink_to(site.root / "elsewhere")
    with pytest.raises(InstallError, match="other users than root can change"):
        store.read()
    with pytest.raises(InstallError, match="other users than root can change"):
        store.write(plan_of(site), plan_of(site).choices, {})
    assert tree(site.root / "etc") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_list_in_somebody_elses_folder_is_not_followed(make_site: MakeSite) -> None:
    store = write(plan_of(make_site(STOCK)))
    os.chown(store.folder.parent, 65534, 65534)
    with pytest.raises(InstallError, match="other users than root can change"):
        store.read()
