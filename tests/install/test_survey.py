"""Things that a site has and lacks, and things that are in the way."""

import re

import pytest

from ariagent.check.asterisk import NEEDED, USEFUL
from ariagent.config import Settings
from ariagent.errors import AsteriskError, ConfigurationError
from ariagent.install.choices import Choices
from ariagent.install.modules import MODULES
from ariagent.install.survey import phone_contexts, queue_names, survey
from tests.install.conftest import FREEPBX, STOCK, MakeSite, choices, plan_of


def test_a_stock_site_lacks_an_http_server_only(make_site: MakeSite) -> None:
    found = survey(make_site(STOCK), choices())
    assert found.obstacles == []
    assert found.notes == []
    assert found.general == {"http.conf": {"enabled": "yes", "bindaddr": "127.0.0.1"}}
    assert found.ari_url == "http://127.0.0.1:8088"
    assert found.ami_address == ("127.0.0.1", 5039)
    assert found.modules == ()


@pytest.mark.parametrize(
    ("http", "added", "url"),
    [
        (None, {"enabled": "yes", "bindaddr": "127.0.0.1"}, "http://127.0.0.1:8088"),
        ("", {"enabled": "yes", "bindaddr": "127.0.0.1"}, "http://127.0.0.1:8088"),
        # It was off, so nobody needs it to be open to the network.
        (
            "[general]\nenabled = no\nbindaddr = 0.0.0.0\nbindport = 8090\n",
            {"enabled": "yes", "bindaddr": "127.0.0.1"},
            "http://127.0.0.1:8090",
        ),
        ("[general]\nenabled = no\nbindaddr = ::1\n", {"enabled": "yes", "bindaddr": "::1"}, "http://[::1]:8088"),
        ("[general]\nenabled = yes\n", {}, "http://127.0.0.1:8088"),
        ("[general]\nenabled = yes\nbindaddr = 0.0.0.0\nprefix = /pbx/\n", {}, "http://127.0.0.1:8088/pbx"),
        ("[general]\nenabled = yes\nbindaddr = 10.1.2.3\nbindport = 80\n", {}, "http://10.1.2.3:80"),
        ("[general]\nenabled = no\nenabled = yes\n", {}, "http://127.0.0.1:8088"),
    ],
)
def test_the_http_server(make_site: MakeSite, http: str | None, added: dict[str, str], url: str) -> None:
    found = survey(make_site(STOCK, {"http.conf": http}), choices())
    assert found.general.get("http.conf", {}) == added
    assert found.ari_url == url


@pytest.mark.parametrize(
    ("manager", "added", "address"),
    [
        (None, {"enabled": "yes", "bindaddr": "127.0.0.1"}, ("127.0.0.1", 5038)),
        (
            "[general]\nenabled = no\nbindaddr = 0.0.0.0\nport = 5040\n",
            {"enabled": "yes", "bindaddr": "127.0.0.1"},
            ("127.0.0.1", 5040),
        ),
        ("[general]\nenabled = yes\nbindaddr = ::\n", {}, ("127.0.0.1", 5038)),
        ("[general]\nenabled = yes\nbindaddr = 10.1.2.3\n", {}, ("10.1.2.3", 5038)),
    ],
)
def test_the_manager_interface(
    make_site: MakeSite, manager: str | None, added: dict[str, str], address: tuple[str, int]
) -> None:
    found = survey(make_site(STOCK, {"manager.conf": manager}), choices())
    assert found.general.get("manager.conf", {}) == added
    assert found.ami_address == address


ELSEWHERE = {"service_address": "10.0.0.7", "asterisk_address": "10.0.0.5"}


def test_what_was_off_with_the_manager_interface_stays_off(make_site: MakeSite) -> None:
    """Through an HTTPS server that listens on every address. (TLS with an address of its own was on all the time.)"""
    manager = "[general]\nenabled = no\ntlsenable = yes\ntlsbindaddr = 0.0.0.0:5039\nwebenabled = yes\n"
    general = survey(make_site(STOCK, {"manager.conf": manager}), choices()).general["manager.conf"]
    assert general == {"enabled": "yes", "bindaddr": "127.0.0.1", "webenabled": "no"}


def test_a_service_on_another_machine_gets_servers_that_it_can_reach(make_site: MakeSite) -> None:
    off = {"http.conf": "[general]\nenabled = no\n", "manager.conf": "[general]\nenabled = no\nport = 5040\n"}
    found = survey(make_site(STOCK, off), choices(**ELSEWHERE))
    listening = {"enabled": "yes", "bindaddr": "10.0.0.5"}
    assert found.general == {"http.conf": listening, "manager.conf": listening}
    assert found.ari_url == "http://10.0.0.5:8088"
    assert found.ami_address == ("10.0.0.5", 5040)
    assert found.notes == []


@pytest.mark.parametrize("bindaddr", ["0.0.0.0", "10.0.0.5"])
def test_servers_that_listen_to_the_network_stay_as_they_are(make_site: MakeSite, bindaddr: str) -> None:
    text = f"[general]\nenabled = yes\nbindaddr = {bindaddr}\n"
    found = survey(make_site(STOCK, {"http.conf": text, "manager.conf": text}), choices(**ELSEWHERE))
    assert found.general == {}
    assert found.notes == []
    assert found.ari_url == "http://10.0.0.5:8088"
    assert found.ami_address == ("10.0.0.5", 5038)


def test_servers_on_loopback_are_told_and_not_moved(make_site: MakeSite) -> None:
    text = "[general]\nenabled = yes\nbindaddr = 127.0.0.1\n"
    found = survey(make_site(STOCK, {"http.conf": text, "manager.conf": text}), choices(**ELSEWHERE))
    assert found.general == {}
    assert found.ari_url == "http://127.0.0.1:8088"
    for note, name in zip(found.notes, ("http.conf", "manager.conf"), strict=True):
        assert f"/{name} has bindaddr = 127.0.0.1, so the service at 10.0.0.7 cannot reach this server" in note
        assert "Set bindaddr = 10.0.0.5 there" in note


def test_the_ami_user_may_log_in_from_this_machines_own_address(make_site: MakeSite) -> None:
    manager = "[general]\nenabled = yes\nbindaddr = 10.1.2.3\n"
    site = make_site(STOCK, {"manager.conf": manager})
    texts = {
        change.path.name: change.after.decode() for change in plan_of(site).changes if "ariagent" in change.path.parts
    }
    assert re.findall(r"^permit = (.*)$", texts["manager.conf"], re.MULTILINE) == [
        "127.0.0.1/32",
        "::1/128",
        "10.1.2.3/32",
    ]


def test_ports_are_chosen_only_where_a_server_is_switched_on(make_site: MakeSite) -> None:
    found = survey(make_site(STOCK), choices(http_port=18088, ami_port=15038))
    assert found.general == {"http.conf": {"enabled": "yes", "bindaddr": "127.0.0.1", "bindport": "18088"}}
    assert found.ari_url == "http://127.0.0.1:18088"
    assert found.ami_address == ("127.0.0.1", 5039)


@pytest.mark.parametrize(
    ("ari", "added"),
    [
        (None, {"enabled": "yes"}),
        ("[someone]\ntype = user\n", {"enabled": "yes"}),
        ("[general]\n", {}),
        ("[general]\nenabled = yes\n", {}),
        ("[general]\nenabled = no\n", {"enabled": "yes"}),
    ],
)
def test_ari(make_site: MakeSite, ari: str | None, added: dict[str, str]) -> None:
    assert survey(make_site(STOCK, {"ari.conf": ari}), choices()).general.get("ari.conf", {}) == added


def test_with_no_general_the_administrator_is_told_instead(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    found = survey(site, choices(general=False))
    assert found.general == {}
    assert found.notes == [
        f"Set in [general] of {site.etc}/http.conf yourself (--no-general): enabled = yes, bindaddr = 127.0.0.1"
    ]


def test_several_logins_are_allowed_whatever_general_says(make_site: MakeSite) -> None:
    manager = STOCK["manager.conf"].replace("[admin]", "allowmultiplelogin = no\n[admin]")
    plan = plan_of(make_site(STOCK, {"manager.conf": manager}))
    assert plan.found.obstacles == []
    assert "\nallowmultiplelogin = yes\n" in next(
        change.after.decode() for change in plan.files if str(change.path).endswith("ariagent/manager.conf")
    )


@pytest.mark.parametrize(("limit", "told"), [("2", True), ("100", False), ("0", False)])
def test_a_server_for_few_connections_is_told(make_site: MakeSite, limit: str, told: bool) -> None:
    http = f"[general]\nenabled = yes\nsessionlimit = {limit}\n"
    found = survey(make_site(STOCK, {"http.conf": http}), choices())
    assert any("sessionlimit" in note for note in found.notes) is told


def test_a_file_that_comes_from_a_database_is_told(make_site: MakeSite) -> None:
    extconfig = "[settings]\nqueues.conf => odbc,asterisk,ast_config\nqueues => odbc,asterisk\n"
    [note] = survey(make_site(STOCK, {"extconfig.conf": extconfig}), choices()).notes
    assert "extconfig.conf:2" in note


class Shows:
    """A running Asterisk that knows one extension."""

    def __init__(self, extension: str, does: str) -> None:
        self._line = f"[ Context 'from-internal' created by 'pbx_ael' ]\n  '{extension}' =>    1. {does}    [pbx_ael]\n"

    def ask(self, command: str) -> str:
        if command.startswith('dialplan show "7000@'):
            return self._line
        raise AsteriskError("no such extension")


@pytest.mark.parametrize(
    ("extension", "does", "obstacles", "notes"),
    [
        ("7000", "NoOp()", 1, 0),
        ("_7XXX", "NoOp()", 0, 1),
        # Findings about an existing installation.
        ("7000", "Gosub(ariagent-queue,${EXTEN},1(frontline))", 0, 0),
    ],
)
def test_a_number_of_another_part_of_the_dialplan_stays_the_sites(
    make_site: MakeSite, extension: str, does: str, obstacles: int, notes: int
) -> None:
    """AEL, Lua, a database: only the running Asterisk knows them."""
    site = make_site(STOCK)
    site.__dict__["console"] = Shows(extension, does)
    found = survey(site, choices())
    assert (len(found.obstacles), len(found.notes)) == (obstacles, notes), found


def test_a_number_behind_a_switch_is_told(make_site: MakeSite) -> None:
    dialplan = STOCK["extensions.conf"] + "include => more\n[more]\nswitch => Realtime/@\n"
    [note] = survey(make_site(STOCK, {"extensions.conf": dialplan}), choices()).notes
    assert "Realtime/@" in note


@pytest.mark.parametrize("queue", ["support", "SUPPORT", "Sales"])
def test_a_human_queue_is_found_in_any_letter_case(make_site: MakeSite, queue: str) -> None:
    assert survey(make_site(STOCK), choices(human_queue=queue)).obstacles == []


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"human_queue": "suport"}, "there is no queue suport (did you mean support?); Asterisk has sales, support."),
        ({"human_queue": ""}, "there is no place for callers that the AI cannot help."),
        ({"ai_queue": "Sales"}, "the site already has a queue Sales."),
        ({"ami_user": "admin"}, "manager.conf:5: the section [admin] already exists."),
        ({"contexts": ("from-interna",)}, "there is no context from-interna (did you mean from-internal?)."),
        ({"supervisor_contexts": ("boss",)}, "there is no context boss."),
        ({"numbers": ("7000", "500")}, "500 is in use in the context from-internal ("),
        (
            {"last_resort": "from-internal,9000,1"},
            "the last resort does not exist: there is no extension 9000 in the context",
        ),
        (
            {"last_resort": "nowhere,500,1"},
            "the last resort does not exist: there is no extension 500 in the context nowhere.",
        ),
    ],
)
def test_what_stands_in_the_way(make_site: MakeSite, changes: dict[str, object], wanted: str) -> None:
    dialplan = STOCK["extensions.conf"] + "exten => 500,1,Dial(PJSIP/1001)\n"
    [obstacle] = survey(make_site(STOCK, {"extensions.conf": dialplan}), choices(**changes)).obstacles
    assert wanted in obstacle


def test_a_last_resort_is_enough_without_a_human_queue(make_site: MakeSite) -> None:
    assert survey(make_site(STOCK), choices(human_queue="", last_resort="from-internal,1000,1")).obstacles == []


def test_a_number_that_a_pattern_took_is_told(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    found = survey(site, choices(numbers=("1700",)))
    assert found.obstacles == []
    assert found.notes == [
        f"1700 in the context from-internal matched the pattern _1XXX ({site.etc}/extensions.conf:5) until now; "
        "it will reach ariagent"
    ]


def test_an_installation_by_hand_is_found(make_site: MakeSite) -> None:
    changes = {"ari.conf": "[general]\n#include by-hand.conf\n", "by-hand.conf": "[ariagent]\ntype = user\n"}
    site = make_site(STOCK, changes)
    [obstacle] = survey(site, choices()).obstacles
    assert obstacle.startswith(f"{site.etc}/by-hand.conf:1: the section [ariagent] already exists.")


def test_a_dialplan_that_asterisk_does_not_read_is_not_added_to(make_site: MakeSite) -> None:
    dialplan = STOCK["extensions.conf"] + "#include gone.conf\n"
    [obstacle] = survey(make_site(STOCK, {"extensions.conf": dialplan}), choices()).obstacles
    assert "extensions.conf:6: includes gone.conf, which does not exist" in obstacle


@pytest.mark.parametrize("name", ["extensions.conf", "queues.conf", "manager.conf", "http.conf"])
def test_lines_that_asterisk_passes_over_do_not_stand_in_the_way(make_site: MakeSite, name: str) -> None:
    site = make_site(STOCK, {name: STOCK[name] + "\nno sign here\n#frobnicate\n"})
    found = survey(site, choices())
    assert (found.obstacles, found.notes) == ([], [])


def test_a_file_of_the_sites_that_is_read_in_part_is_told(make_site: MakeSite) -> None:
    files = {"extensions.conf": STOCK["extensions.conf"] + "#include more.conf\n", "more.conf": "[x](+)\n"}
    found = survey(make_site(STOCK, files), choices())
    assert found.obstacles == []
    assert "more.conf:1" in found.notes[0]


def test_without_autoload_every_module_that_nothing_loads_is_loaded(make_site: MakeSite) -> None:
    modules = "[modules]\nautoload = no\nload => app_queue.so\npreload = pbx_config\nload = res_pjsip.so\n"
    found = survey(make_site(STOCK, {"modules.conf": modules}), choices())
    assert set(found.modules) == set(MODULES) - {"app_queue", "pbx_config"}
    # Some modules end Asterisk when this one does not run before them.
    assert found.modules[0] == "res_sorcery_config"


def test_what_the_check_looks_for_is_loaded() -> None:
    assert {*NEEDED, *USEFUL} <= set(MODULES)


def test_without_pjsip_nothing_of_pjsip_is_loaded(make_site: MakeSite) -> None:
    found = survey(make_site(STOCK, {"modules.conf": "[modules]\nautoload = no\n"}), choices())
    assert not [name for name in found.modules if "pjsip" in name]


def test_a_module_that_the_site_refuses_is_an_obstacle(make_site: MakeSite) -> None:
    modules = "[modules]\nautoload = yes\nnoload = chan_audiosocket.so\n"
    [obstacle] = survey(make_site(STOCK, {"modules.conf": modules}), choices()).obstacles
    assert obstacle.startswith("modules.conf has noload = chan_audiosocket.so")


def test_a_module_that_the_build_lacks_is_an_obstacle(make_site: MakeSite) -> None:
    site = make_site(STOCK)
    folder = site.folders.modules
    assert folder is not None
    folder.mkdir(parents=True)
    for name in set(MODULES) - {"chan_audiosocket", "func_dialplan"}:
        (folder / f"{name}.so").touch()
    [obstacle] = survey(site, choices()).obstacles
    assert obstacle.startswith("this Asterisk has no module chan_audiosocket (the audio of every call).")


def test_modules_that_did_not_load_are_not_asked_for_again(make_site: MakeSite) -> None:
    site = make_site(STOCK, {"modules.conf": "[modules]\nautoload = no\n"})
    assert "codec_gsm" not in survey(site, choices(), ["codec_gsm"]).modules


class TestFreePbx:
    def test_it_is_known_and_lacks_nothing(self, make_site: MakeSite) -> None:
        site = make_site(FREEPBX)
        assert site.is_freepbx
        found = survey(site, choices(human_queue="201", contexts=("from-internal-custom",)))
        assert (found.obstacles, found.general, found.modules) == ([], {}, ())
        assert (found.ari_url, found.ami_address) == ("http://127.0.0.1:8088", ("127.0.0.1", 5038))

    def test_its_own_extensions_are_not_hidden(self, make_site: MakeSite) -> None:
        site = make_site(FREEPBX)
        chosen = choices(human_queue="201", contexts=("from-internal-custom",), numbers=("101",))
        [obstacle] = survey(site, chosen).obstacles
        assert "101 is in use in the context from-internal (" in obstacle

    def test_a_plain_site_with_such_a_file_is_none(self, make_site: MakeSite) -> None:
        assert not make_site(STOCK, {"extensions_custom.conf": ""}).is_freepbx


def test_queues_and_phones_are_listed(make_site: MakeSite) -> None:
    phones = (
        "[phone](!)\ntype = endpoint\ncontext = from-internal\n[1001](phone)\n[1002](phone)\n"
        "[trunk]\ntype = endpoint\ncontext = from-trunk\n[1001]\ntype = aor\n"
    )
    site = make_site(STOCK, {"pjsip.conf": phones})
    assert phone_contexts(site) == ["from-internal", "from-trunk"]
    assert queue_names(site.document("queues.conf")) == ["sales", "support"]


@pytest.mark.parametrize(
    "changes",
    [
        {"numbers": ("70 00",)},
        {"numbers": ("7000\nexten => 1,1,System(x)",)},
        {"numbers": (), "direct_numbers": ()},
        {"direct_numbers": ("7000",)},
        {"seats": 0},
        {"seats": 1000},
        {"http_port": 65536},
        {"human_queue": "sup,port"},
        {"human_queue": "frontline"},
        {"human_queue": " support"},
        {"human_queue": "${X}"},
        {"ai_queue": "general"},
        {"ai_queue": "ariagent-seats"},
        {"numbers": ("s",)},
        {"numbers": ("T",)},
        {"numbers": ("h",)},
        {"direct_numbers": ("fax",)},
        {"numbers": ("_7XXX",)},
        {"numbers": ("9" * 300,)},
        {"contexts": ("general",)},
        {"contexts": ("globals",)},
        {"contexts": ("ariagent-human",)},
        {"supervisor_contexts": ("Globals",)},
        {"code": "*8\nexten => 1,1,System(x)"},
        {"code": "*8,1,System(x)"},
        {"code": "${X}"},
        {"code": "*8;"},
        {"member_name": " "},
        {"ai_queue": ""},
        {"contexts": ("a]b",)},
        {"member_name": "AI; Agent"},
        {"member_name": "AI,Agent"},
        {"app": "a b"},
        {"ari_user": "general"},
        {"last_resort": "from-internal"},
        {"last_resort": "from-internal,500,1,2"},
        {"last_resort": "from-internal,500,1)"},
        {"supervisors": "1004)"},
        {"service_address": "10.0.0.7"},
        {"asterisk_address": "10.0.0.5"},
        {**ELSEWHERE, "service_address": "service.example"},
        {**ELSEWHERE, "service_address": "0.0.0.0"},
        {**ELSEWHERE, "service_address": "10.0.0.7\npermit = 0.0.0.0/0"},
        {**ELSEWHERE, "asterisk_address": "10.0.0.0/24"},
    ],
)
def test_choices_that_would_break_a_file_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Choices(**{"human_queue": "support", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Support Team", "support.en", "+49 30 1234", "a-b_c", "201"])
def test_names_of_queues_and_contexts_as_sites_have_them(make_site: MakeSite, name: str) -> None:
    changes = {
        "queues.conf": f"[general]\n[{name}]\nmember => PJSIP/1001\n",
        "extensions.conf": f"[x{name}]\nexten => 1,1,NoOp()\n",
    }
    plan = plan_of(make_site(STOCK, changes), human_queue=name, contexts=(f"x{name}",))
    assert plan.found.obstacles == []
    ours = next(change.after.decode() for change in plan.files if str(change.path).endswith("ariagent/extensions.conf"))
    assert f"ARIAGENT_HUMAN_QUEUE = {name}\n" in ours
    assert f"\n[x{name}]\n" in ours
    Settings(destinations={"human": {"queue": name, "description": "human agents"}})  # type: ignore[arg-type]


def test_contexts_that_are_called_as_ariagents_are_an_obstacle(make_site: MakeSite) -> None:
    dialplan = STOCK["extensions.conf"] + "[ariagent-internal]\nexten => 7000,1,NoOp()\n"
    [obstacle] = survey(make_site(STOCK, {"extensions.conf": dialplan}), choices()).obstacles
    assert "extensions.conf:6: there is a context [ariagent-internal] already" in obstacle


def test_feature_codes_that_the_site_has_are_told(make_site: MakeSite) -> None:
    dialplan = STOCK["extensions.conf"] + "exten => _*8X,1,Pickup()\n"
    site = make_site(STOCK, {"extensions.conf": dialplan})
    assert len(survey(site, choices(supervisor_contexts=("from-internal",))).notes) == 3
    assert survey(site, choices(supervisor_contexts=("from-internal",), code="*55")).notes == []
