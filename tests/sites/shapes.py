"""Asterisk installations of the kinds that people have, as descriptions: which files there are and what they say.

The stock samples are those of the distribution's package; everything else is written here. Every site has phones 1001
to 1008, the extensions 600 and 7100, queues of human agents, and addresses on loopback only.
"""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import ports
from lab.packages import AsteriskProgram

PHONES = tuple(f"{number}" for number in range(1001, 1009))
PASSWORD = "a-phone-of-the-site"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where one site listens, on loopback."""

    sip: int = field(default_factory=ports.free_udp_port)
    http: int = field(default_factory=ports.free_tcp_port)
    https: int = field(default_factory=ports.free_tcp_port)
    ami: int = field(default_factory=ports.free_tcp_port)
    rtp: tuple[int, int] = field(default_factory=ports.rtp_range)


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of site."""

    name: str
    stock: bool
    """Whether the distribution's samples are there."""
    files: Callable[[Addresses, Path], Mapping[str, str]]
    """(addresses, configuration folder) -> file -> text. In a stock tree a text that begins with ``+`` is added to the
    file that is there; others replace it."""
    human_queue: str
    context: str
    """The phones, in the words of ``ariagent install``."""
    flags: tuple[str, ...] = ()
    """More arguments for ``ariagent install``."""
    links: tuple[str, ...] = ()
    """Files that are links into a folder of another program's."""


def build(shape: Shape, root: Path, program: AsteriskProgram, samples: Path, addresses: Addresses) -> Path:
    """Make the tree below ``root``; returns its ``asterisk.conf``."""
    etc = root / "etc" / "asterisk"
    etc.parent.mkdir(parents=True, exist_ok=True)
    if shape.stock:
        shutil.copytree(samples, etc)
    else:
        etc.mkdir()
    texts = {**shape.files(addresses, etc), "asterisk.conf": _asterisk_conf(root, program)}
    texts["rtp.conf"] = f"[general]\nrtpstart = {addresses.rtp[0]}\nrtpend = {addresses.rtp[1]}\nicesupport = no\n"
    for name, text in texts.items():
        path = etc / name
        path.parent.mkdir(exist_ok=True)
        if text.startswith("+"):
            path.write_text(path.read_text() + text[1:])
        elif name in shape.links:
            target = root / "var" / "www" / "modules" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            path.symlink_to(target)
        else:
            path.write_text(text)
    for folder in ("lib/asterisk/keys", "spool/asterisk", "run/asterisk", "log/asterisk", "cache/asterisk"):
        (root / "var" / folder).mkdir(parents=True)
    return etc / "asterisk.conf"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of the site's own, and its key."""
    cert, key = folder / "site.crt", folder / "site.key"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pbx.example"]
    subprocess.run(["openssl", *words, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def _asterisk_conf(root: Path, program: AsteriskProgram) -> str:
    var = root / "var"
    folders = {
        "astetcdir": root / "etc" / "asterisk",
        "astmoddir": program.modules_dir,
        "astvarlibdir": var / "lib" / "asterisk",
        "astdbdir": var / "lib" / "asterisk",
        "astkeydir": var / "lib" / "asterisk",
        "astdatadir": program.data_dir,
        "astagidir": var / "lib" / "asterisk",
        "astspooldir": var / "spool" / "asterisk",
        "astcachedir": var / "cache" / "asterisk",
        "astrundir": var / "run" / "asterisk",
        "astlogdir": var / "log" / "asterisk",
        "astsbindir": var / "lib" / "asterisk",
    }
    lines = ["[directories]", *(f"{key} => {path}" for key, path in folders.items())]
    return "\n".join([*lines, "[options]", "verbose = 3", "hideconnect = yes", "entityid = 02:00:00:00:00:02"]) + "\n"


# -- what the sites have in common ---------------------------------------------------------------------

QUIET_MODULES = "".join(
    f"noload => {name}.so\n"
    # They listen on every address of the machine, or look for other machines.
    for name in ("chan_iax2", "chan_unistim", "chan_ooh323", "pbx_dundi", "chan_motif", "res_xmpp", "res_hep")
)


def _pjsip(addresses: Addresses, context: str) -> str:
    parts = [
        f"[udp]\ntype = transport\nprotocol = udp\nbind = 127.0.0.1:{addresses.sip}\n",
        "[global]\ntype = global\nendpoint_identifier_order = username,ip,anonymous\n",
    ]
    for phone in PHONES:
        parts.append(
            f"[{phone}]\ntype = endpoint\ncontext = {context}\ndisallow = all\nallow = ulaw\ndirect_media = no\n"
            f'rtp_symmetric = yes\nauth = {phone}\naors = {phone}\ncallerid = "Phone {phone}" <{phone}>\n'
            "media_address = 127.0.0.1\nbind_rtp_to_media_address = yes\n"
            f"[{phone}]\ntype = auth\nauth_type = userpass\nusername = {phone}\npassword = {PASSWORD}\n"
            f"[{phone}]\ntype = aor\nmax_contacts = 1\nremove_existing = yes\n"
        )
    return "\n".join(parts)


def _members(*phones: str) -> str:
    return "".join(f"member => PJSIP/{phone},0,Phone {phone}\n" for phone in phones)


def _queues(*names: str) -> str:
    text = ""
    for name in names:
        text += f"[{name}]\nstrategy = ringall\ntimeout = 20\nretry = 1\njoinempty = yes\n{_members('1002', '1003')}\n"
    return text


_PHONES_DIAL = """exten => _100X,1,Dial(PJSIP/${EXTEN},20)
 same => n,Hangup()
exten => 600,1,Answer()
 same => n,Echo()
exten => 7100,1,Answer()
 same => n,Queue(%s)
 same => n,Hangup()
"""


# -- the shapes ----------------------------------------------------------------------------------------


def _debian(addresses: Addresses, etc: Path) -> dict[str, str]:
    cert, key = certificate(etc)
    return {
        "modules.conf": f"+\n[modules](+)\n{QUIET_MODULES}",
        # Without a new line at its end, as the sample has it.
        "http.conf": f"[general]\nservername=Asterisk\nbindaddr=127.0.0.1\nbindport={addresses.http}\ntlsenable=yes\n"
        f"tlsbindaddr=127.0.0.1:{addresses.https}\ntlscertfile={cert}\ntlsprivatekey={key}\n;",
        "manager.conf": f"[general]\nenabled = yes\nport = {addresses.ami}\nbindaddr = 127.0.0.1\n"
        '#include "manager.d/*.conf"\n\n',
        "extensions.conf": "+\n[main]\n"
        + _PHONES_DIAL % "support"
        + "\n[from-trunk]\nexten => _X.,1,Goto(main,7100,1)\n"
        "[from-internal]\ninclude => main\nexten => _9.,1,Hangup(1)\n",
        "queues.conf": "+\n" + _queues("support", "sales"),
        "pjsip.conf": "+\n" + _pjsip(addresses, "from-internal"),
    }


def _upstream(addresses: Addresses, etc: Path) -> dict[str, str]:
    return {
        "modules.conf": f"+\n[modules](+)\n{QUIET_MODULES}",
        "http.conf": f"[general]\nservername=Asterisk\n;enabled=yes\nbindaddr=0.0.0.0\nbindport={addresses.http}\n",
        "manager.conf": f"[general]\nenabled = no\nport = {addresses.ami}\nbindaddr = 0.0.0.0\n",
        "ari.conf": "[general]\nenabled = yes\npretty = no\n;[username]\n;type = user\n",
        "extensions.conf": "+\n[office]\n" + _PHONES_DIAL % "Support",
        "queues.conf": "+\n" + _queues("Support", "sales"),
        "pjsip.conf": "+\n" + _pjsip(addresses, "office"),
    }


_COMPANY_MODULES = [
    "app_dial",
    "app_echo",
    "app_playback",
    "app_queue",
    "app_stack",
    "app_verbose",
    "bridge_builtin_features",
    "bridge_holding",
    "bridge_native_rtp",
    "bridge_simple",
    "bridge_softmix",
    "chan_bridge_media",
    "chan_pjsip",
    "codec_gsm",
    "codec_resample",
    "codec_ulaw",
    "format_gsm",
    "format_pcm",
    "format_wav",
    "func_callerid",
    "func_cdr",
    "func_strings",
    "pbx_config",
    "res_http_websocket",
    "res_musiconhold",
    "res_pjproject",
    "res_pjsip",
    "res_pjsip_authenticator_digest",
    "res_pjsip_caller_id",
    "res_pjsip_dtmf_info",
    "res_pjsip_endpoint_identifier_anonymous",
    "res_pjsip_endpoint_identifier_ip",
    "res_pjsip_endpoint_identifier_user",
    "res_pjsip_header_funcs",
    "res_pjsip_nat",
    "res_pjsip_pubsub",
    "res_pjsip_refer",
    "res_pjsip_registrar",
    "res_pjsip_rfc3326",
    "res_pjsip_sdp_rtp",
    "res_pjsip_session",
    "res_rtp_asterisk",
    "res_sorcery_astdb",
    "res_sorcery_config",
    "res_sorcery_memory",
    "res_timing_timerfd",
]


def _company(addresses: Addresses, etc: Path) -> dict[str, str]:
    loads = "".join(f"load = {name}.so\n" for name in _COMPANY_MODULES)
    return {
        "modules.conf": f"[modules]\nautoload = no\n{loads}noload = res_hep.so\n\n[global]\n",
        "extensions.conf": "[globals]\nDIAL=20\n\n[phones]\nexten = _X.,1,Goto(desks,${EXTEN},1)\n\n[desks]\n"
        "include = errors\n"
        + _PHONES_DIAL % "support"
        + "\n[errors]\nexten = _X.,1,Playback(pbx-invalid)\n same = n,Hangup()\n",
        "queues.conf": "[general]\nmonitor-type = MixMonitor\n" + _queues("support", "sales"),
        "pjsip.conf": _pjsip(addresses, "phones"),
        "logger.conf": "[general]\n[logfiles]\nmessages.log => notice,warning,error\n",
        "musiconhold.conf": "[general]\n",
        "indications.conf": "[general]\ncountry = us\n[us]\ndescription = United States\nringcadence = 2000,4000\n"
        "congestion = 480+620/250,0/250\nring = 440+480/2000,0/4000\n",
    }


def _freepbx(addresses: Addresses, etc: Path) -> dict[str, str]:
    cert, key = certificate(etc)
    generated = ";--------------------------------------------------------------------------------;\n" + (
        ";          Do NOT edit this file as it is auto-generated by FreePBX.             ;\n"
    )
    return {
        "modules.conf": f"[modules]\nautoload=yes\npreload = pbx_config.so\n{QUIET_MODULES}",
        "http.conf": "#include http_additional.conf\n#include http_custom.conf\n",
        "http_additional.conf": f"{generated}[general]\nenabled=yes\nenablestatic=no\nbindaddr=127.0.0.1\n"
        f"bindport={addresses.http}\nsessionlimit=100\ntlsenable=yes\ntlsbindaddr=127.0.0.1:{addresses.https}\n"
        f"tlscertfile={cert}\ntlsprivatekey={key}\n",
        "http_custom.conf": "",
        "ari.conf": "[general]\n#include ari_general_additional.conf\n#include ari_general_custom.conf\n\n"
        "#include ari_additional.conf\n#include ari_additional_custom.conf\n",
        "ari_general_additional.conf": f"{generated}enabled=yes\npretty=no\nallowed_origins=*\n",
        "ari_general_custom.conf": "",
        "ari_additional.conf": f"{generated}[freepbxuser]\ntype=user\npassword=generated-by-freepbx\nread_only=no\n",
        "ari_additional_custom.conf": "",
        "manager.conf": f"[general]\nenabled = yes\nport = {addresses.ami}\nbindaddr = 127.0.0.1\ndisplayconnects=no\n"
        "#include manager_general_additional.conf\n[admin]\nsecret = generated-by-freepbx\ndeny=0.0.0.0/0.0.0.0\n"
        "permit=127.0.0.1/255.255.255.0\nread = system,call,agent,user\nwrite = system,call,agent,user\n"
        "#include manager_additional.conf\n#include manager_custom.conf\n",
        "manager_general_additional.conf": generated,
        "manager_additional.conf": generated,
        "manager_custom.conf": "",
        "extensions.conf": "#include extensions_override_freepbx.conf\n#include extensions_additional.conf\n"
        "#include extensions_custom.conf\n\n[from-trunk]\ninclude => from-pstn\n\n"
        "[from-pstn]\nexten => _X.,1,Hangup(1)\n",
        "extensions_override_freepbx.conf": "",
        "extensions_additional.conf": f"{generated}[globals]\n#include globals_custom.conf\nASTETCDIR={etc}\n\n"
        "[from-internal]\ninclude => from-internal-xfer\ninclude => bad-number\n\n"
        "[from-internal-xfer]\ninclude => from-internal-custom\ninclude => app-intercom\ninclude => ext-queues\n"
        "include => ext-local\n\n"
        "[app-intercom]\nexten => _*80.,1,Hangup(1)\n\n"
        "[ext-queues]\nexten => 7100,1,Answer()\n same => n,Queue(201,t,,,)\n same => n,Hangup()\n\n"
        "[ext-local]\nexten => _100X,1,Dial(PJSIP/${EXTEN},20)\n same => n,Hangup()\n"
        "exten => _100X,hint,PJSIP/${EXTEN}\n"
        "exten => 600,1,Answer()\n same => n,Echo()\n\n"
        "[from-queue]\nexten => _100X,1,Goto(ext-local,${EXTEN},1)\n\n"
        "[bad-number]\nexten => _X.,1,Playback(cannot-complete-as-dialed)\n same => n,Hangup()\n",
        "globals_custom.conf": "",
        "extensions_custom.conf": "; Your own dialplan.\n",
        "queues.conf": "[general]\n#include queues_general_additional.conf\n"
        "#include queues_custom_general.conf\n[default]\n#include queues_custom.conf\n"
        "#include queues_additional.conf\n#include queues_post_custom.conf\n",
        "queues_general_additional.conf": f"{generated}persistentmembers=yes\nautofill=yes\nmonitor-type=MixMonitor\n",
        "queues_custom_general.conf": "",
        "queues_custom.conf": "",
        "queues_additional.conf": generated
        + "".join(
            f"[{number}]\nstrategy=ringall\ntimeout=15\nretry=5\nringinuse=yes\njoinempty=yes\nsetinterfacevar=yes\n"
            + "".join(f"member=Local/{phone}@from-queue/n,0,{phone},PJSIP/{phone}\n" for phone in ("1002", "1003"))
            + "\n"
            for number in (201, 202)
        ),
        "queues_post_custom.conf": "",
        "freepbx_module_admin.conf": "[general]\n",
        "pjsip.conf": "#include pjsip_custom.conf\n#include pjsip.endpoint.conf\n",
        "pjsip_custom.conf": "",
        "pjsip.endpoint.conf": generated + _pjsip(addresses, "from-internal"),
        "logger.conf": "[general]\n[logfiles]\nmessages.log => notice,warning,error\n",
        "musiconhold.conf": "[general]\n",
        "indications.conf": "[general]\ncountry = us\n[us]\ndescription = United States\nringcadence = 2000,4000\n"
        "congestion = 480+620/250,0/250\nring = 440+480/2000,0/4000\n",
        "cdr.conf": "[general]\nenable = yes\n",
    }


def _messy(addresses: Addresses, etc: Path) -> dict[str, str]:
    left_open = "\n;-- until we have time\n[old]\nnothing = here"
    files = {
        **_upstream(addresses, etc),
        "http.conf": f"[General]\r\nservername=Asterisk\r\nbindaddr=0.0.0.0\r\nbindport={addresses.http}\r\n;",
        "manager.conf": f"[general]\nenabled = yes\nallowmultiplelogin = no\nport = {addresses.ami}\n"
        f"bindaddr = 127.0.0.1\nno sign here\n{left_open}",
        "extensions.conf": "+\n[the office]\n" + _PHONES_DIAL % "Support Team" + "#frobnicate\nno sign here\n"
        '#include "more/{a,b}*.conf"\n' + left_open,
        "more/a1.conf": "[more]\nexten => 1,1,NoOp()\n[nosuch](+)\n",
        "queues.conf": "+\n" + _queues("Support Team", "sales") + left_open,
        "pjsip.conf": "+\n" + _pjsip(addresses, "the office"),
    }
    return files


DEBIAN = Shape("debian", True, _debian, "support", "from-internal")
"""Debian's stock files: AMI on, the HTTP server off but for TLS."""
UPSTREAM = Shape("upstream", True, _upstream, "Support", "office")
"""Upstream's samples: neither AMI nor the HTTP server is on, both would listen on every address."""
COMPANY = Shape("company", False, _company, "support", "desks")
"""A few files by hand: ``autoload = no``, no ARI, no HTTP server, no manager interface."""
FREEPBX = Shape(
    "freepbx",
    False,
    _freepbx,
    "201",
    "from-internal-custom",
    links=("ari.conf", "http.conf", "extensions.conf", "queues.conf", "manager.conf"),
)
"""FreePBX: generated files, links into web modules, custom files, numbered queues, TLS for WebRTC phones."""

MESSY = Shape("messy", True, _messy, "Support Team", "the office")
"""Files that Asterisk reads and their authors did not: comments left open, lines that are none, Windows' line ends."""

SHAPES = (DEBIAN, UPSTREAM, COMPANY, FREEPBX, MESSY)
