"""CORE: the text of the lab Asterisk's configuration files.

ariagent's own files are those that ``ariagent install`` writes. Here is what a site has already (``lab/site/``),
and what differs for each instance: folders, ports, passwords, the module list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ariagent.install.choices import Choices
from ariagent.install.ours import FOLDER, include_of
from ariagent.install.render import Additions, site_files

PHONES = ("1001", "1002", "1003", "1004")
SEATS = 60
"""Number of seats, enough for measurements of many calls."""
FEW_SEATS = 24
"""Enough for most tests: none has more than 20 calls at once. Asterisk and the service tell each other of every seat,
at each start."""
HUMAN_QUEUE = "support"


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


REQUIRED_MODULES = _names(
    """
    res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_http_websocket res_crypto
    pbx_config pbx_loopback func_callerid func_cdr func_channel func_devstate func_dialplan func_global
    func_groupcount func_logic func_math func_strings func_timeout func_cut func_db func_hangupcause func_sprintf
    func_uri func_uuid
    app_dial app_echo app_exec app_playback app_playtones app_queue app_read app_senddtmf app_stack app_stasis
    app_transfer app_userevent app_verbose app_waitforsilence app_waituntil app_chanspy app_mixmonitor
    app_channelredirect app_bridgeaddchan app_originate app_softhangup app_system app_db app_audiosocket
    bridge_builtin_features bridge_holding bridge_native_rtp bridge_simple bridge_softmix
    codec_a_mu codec_alaw codec_g722 codec_gsm codec_resample codec_ulaw
    format_gsm format_pcm format_sln format_wav
    res_musiconhold res_rtp_asterisk res_format_attr_opus res_audiosocket chan_audiosocket chan_bridge_media
    res_stasis res_stasis_answer res_stasis_device_state res_stasis_playback res_stasis_recording res_stasis_snoop
    res_ari res_ari_model res_ari_applications res_ari_asterisk res_ari_bridges res_ari_channels
    res_ari_device_states res_ari_endpoints res_ari_events res_ari_playbacks res_ari_recordings res_ari_sounds
    res_pjproject res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_pjsip_authenticator_digest
    res_pjsip_outbound_authenticator_digest res_pjsip_endpoint_identifier_user res_pjsip_endpoint_identifier_ip
    res_pjsip_endpoint_identifier_anonymous res_pjsip_registrar res_pjsip_nat res_pjsip_refer res_pjsip_diversion
    res_pjsip_caller_id res_pjsip_rfc3326 res_pjsip_dtmf_info res_pjsip_empty_info res_pjsip_dlg_options
    res_pjsip_header_funcs res_pjsip_logger res_pjsip_pubsub res_pjsip_mwi res_pjsip_mwi_body_generator chan_pjsip
    func_pjsip_aor func_pjsip_contact func_pjsip_endpoint
    """
)
"""Modules that the lab, the service and their tests use. Asterisk is not started when one is missing."""

OPTIONAL_MODULES = _names(
    """
    res_websocket_client codec_opus codec_opus_open_source res_stasis_broadcast app_stasis_broadcast
    res_clioriginate res_manager_devicestate res_convert res_mutestream func_talkdetect func_periodic_hook res_srtp
    """
)
"""Loaded where they exist: named differently, split off or added between releases and distributions."""


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """Settings of one instance."""

    directory: Path
    run_dir: Path
    """Holds the control socket, whose path may have 107 bytes at most."""
    data_dir: Path
    modules_dir: Path
    modules: Collection[str]
    """Module names without ``.so`` to load."""
    site: Path
    """``lab/site`` of the checkout."""
    sip_port: int
    http_port: int
    rtp_ports: tuple[int, int]
    ami_port: int
    ari_password: str
    ami_password: str
    phone_passwords: Mapping[str, str] = field(default_factory=dict)
    seats: int = SEATS
    """Seats of the queue ``frontline``."""
    additions: Mapping[str, str] = field(default_factory=dict)
    """File name -> text that comes after the lab's own: what a test's site has besides."""


def select_modules(available: Collection[str]) -> tuple[list[str], list[str]]:
    """(modules to load, required modules that are missing) out of the module names ``available``."""
    load = [name for name in (*REQUIRED_MODULES, *OPTIONAL_MODULES) if name in available]
    return load, [name for name in REQUIRED_MODULES if name not in available]


def files(settings: InstanceSettings) -> dict[str, str]:
    """File name -> text, for the folder that ``asterisk.conf`` names as ``astetcdir``."""
    first, last = settings.rtp_ports
    choices = Choices(human_queue=HUMAN_QUEUE, numbers=("7000",), direct_numbers=("7001",), seats=settings.seats)
    ours = site_files(choices, Additions({}), settings.ari_password, settings.ami_password)
    texts = {
        "asterisk.conf": _asterisk(settings),
        "modules.conf": _modules(settings.modules),
        "logger.conf": _LOGGER,
        "http.conf": f"[general]\nenabled = yes\nbindaddr = 127.0.0.1\nbindport = {settings.http_port}\n",
        "ari.conf": f"[general]\nenabled = yes\n{include_of('ari.conf')}\n",
        "pjsip.conf": _pjsip(settings),
        "rtp.conf": f"[general]\nrtpstart = {first}\nrtpend = {last}\nicesupport = no\n",
        "extensions.conf": _extensions(settings),
        "queues.conf": _queues(settings),
        "musiconhold.conf": f"[default]\nmode = files\ndirectory = {settings.directory / 'data' / 'moh'}\n",
        "indications.conf": _INDICATIONS,
        "cdr.conf": "[general]\nenable = no\n",
        "cel.conf": "[general]\nenable = no\n",
        "manager.conf": "[general]\nenabled = yes\nwebenabled = no\nbindaddr = 127.0.0.1\n"
        f"port = {settings.ami_port}\n{include_of('manager.conf')}\n",
        **dict.fromkeys(_EMPTY, ""),
        **{f"{FOLDER}/{name}": text for name, text in ours.items()},
    }
    return texts | {name: texts.get(name, "") + text for name, text in settings.additions.items()}


def _extensions(settings: InstanceSettings) -> str:
    lines = ["[general]", "static = yes", "writeprotect = yes", include_of("extensions.conf")]
    # 1004 is the lab's supervisor; a phone gets that number only with its password.
    lines += ["[globals]", "ARIAGENT_SUPERVISORS = 1004"]
    lines.append(f'#include "{settings.site / "extensions.conf"}"')
    return "\n".join(lines) + "\n"


def _modules(names: Collection[str]) -> str:
    lines = ["[modules]", "autoload = no"]
    # "require" ends Asterisk at start when the module does not load: better than a lab with a part missing.
    lines += [f"{'require' if name in REQUIRED_MODULES else 'load'} = {name}.so" for name in names]
    return "\n".join(lines) + "\n"


def _asterisk(settings: InstanceSettings) -> str:
    directory = settings.directory
    folders = {
        "astetcdir": directory / "etc",
        "astmoddir": settings.modules_dir,
        "astvarlibdir": directory / "lib",
        "astdbdir": directory / "lib",
        "astkeydir": directory / "lib",
        "astdatadir": directory / "data",
        "astagidir": directory / "lib" / "agi-bin",
        "astspooldir": directory / "spool",
        "astcachedir": directory / "cache",
        "astrundir": settings.run_dir,
        "astlogdir": directory / "log",
        "astsbindir": directory / "lib",
    }
    lines = ["[directories]", *(f"{key} = {path}" for key, path in folders.items())]
    # entityid: without it Asterisk looks for a network card to take the number of.
    lines += ["[options]", "verbose = 3", "nocolor = yes", "hideconnect = yes", "live_dangerously = no"]
    lines += ["entityid = 02:00:00:00:00:01", "documentation_language = en_US"]
    return "\n".join(lines) + "\n"


def _pjsip(settings: InstanceSettings) -> str:
    lines = ["[transport-udp]", "type = transport", "protocol = udp", f"bind = 127.0.0.1:{settings.sip_port}"]
    lines.append(f'#include "{settings.site / "pjsip.conf"}"')
    for phone in PHONES:
        lines += [f"[auth{phone}](+)", f"password = {settings.phone_passwords[phone]}"]
    return "\n".join(lines) + "\n"


def _queues(settings: InstanceSettings) -> str:
    lines = ["[general]", "persistentmembers = no", "log_membername_as_agent = yes"]
    lines += [f'#include "{settings.site / "queues.conf"}"', include_of("queues.conf")]
    return "\n".join(lines) + "\n"


_LOGGER = """[general]
dateformat = %F %T.%3q
queue_log = yes
queue_log_to_file = yes
[logfiles]
messages.log => notice,warning,error,verbose(3)
"""

_INDICATIONS = """[general]
country = us
[us]
description = United States
ringcadence = 2000,4000
dial = 350+440
busy = 480+620/500,0/500
ring = 440+480/2000,0/4000
congestion = 480+620/250,0/250
callwaiting = 440/300,0/10000
"""

_EMPTY = _names(
    "acl.conf ccss.conf cli.conf cli_aliases.conf cli_permissions.conf codecs.conf features.conf pjproject.conf "
    "queuerules.conf sorcery.conf stasis.conf udptl.conf websocket_client.conf dnsmgr.conf geolocation.conf"
)
"""Their absence is only worth a warning each; the defaults are meant."""
