"""CORE: the Asterisk modules that ariagent needs, in an order in which Asterisk can load them, and their purpose."""

from collections.abc import Mapping

_REST = "the REST interface"
_QUEUES = "queues: the AI's seats, and the human queue"
_DIALPLAN = "the shipped dialplan"
_AUDIO = "the audio of every call"
_SUPERVISION = "supervisors' phones"

MODULES: Mapping[str, str] = {
    # Other modules keep their configuration in these. Without them, some modules end Asterisk when it starts.
    "res_sorcery_config": "the configuration of other modules",
    "res_sorcery_memory": "the configuration of other modules",
    "res_sorcery_astdb": "the configuration of other modules",
    "res_timing_timerfd": "the clock of bridges",
    "pbx_config": _DIALPLAN,
    "pbx_loopback": "the AI's seats: without it none takes a call",
    "res_http_websocket": _REST,
    "res_websocket_client": _REST,
    "res_stasis": "calls reach the service through it",
    "res_stasis_answer": "the service answers calls",
    "res_stasis_device_state": "the state of the AI's seats",
    "res_stasis_recording": _REST,
    "res_stasis_playback": "spoken summaries",
    "res_stasis_snoop": _REST,
    "res_ari_model": _REST,
    "res_ari": _REST,
    "res_ari_applications": _REST,
    "res_ari_asterisk": _REST,
    "res_ari_bridges": _REST,
    "res_ari_channels": _REST,
    "res_ari_device_states": _REST,
    "res_ari_endpoints": _REST,
    "res_ari_events": _REST,
    "res_ari_playbacks": _REST,
    "res_ari_recordings": _REST,
    "res_ari_sounds": _REST,
    "app_stasis": "calls reach the service through it",
    "res_audiosocket": _AUDIO,
    "chan_audiosocket": _AUDIO,
    "chan_bridge_media": "announcements in a bridge",
    "bridge_simple": "caller and AI are bridged",
    "bridge_softmix": "caller and AI are bridged",
    "bridge_holding": "waiting callers",
    "bridge_builtin_features": "transfers",
    "codec_resample": "24 kHz audio",
    "codec_ulaw": "telephone audio",
    "codec_alaw": "telephone audio",
    "format_pcm": "spoken summaries",
    "format_sln": "spoken summaries",
    "format_wav": "spoken summaries",
    "format_gsm": "Asterisk's own sounds",
    "codec_gsm": "Asterisk's own sounds",
    "res_musiconhold": "music for waiting callers",
    "app_queue": _QUEUES,
    "app_dial": _DIALPLAN,
    "app_stack": _DIALPLAN,
    "app_exec": _DIALPLAN,
    "app_playback": _DIALPLAN,
    "app_playtones": _DIALPLAN,
    "app_channelredirect": "announced transfers",
    "app_userevent": _SUPERVISION,
    "app_read": _SUPERVISION,
    "app_chanspy": _SUPERVISION,
    "func_callerid": _DIALPLAN,
    "func_cdr": _DIALPLAN,
    "func_channel": _DIALPLAN,
    "func_cut": _SUPERVISION,
    "func_devstate": "the state of the AI's seats",
    "func_dialplan": "the last resort",
    "func_global": _DIALPLAN,
    "func_logic": _DIALPLAN,
    "func_strings": _DIALPLAN,
    "res_pjsip_header_funcs": "screen pops on PJSIP phones",
    "func_pjsip_endpoint": "supervisors' phones on PJSIP, by their numbers",
}
"""Name without ``.so`` -> purpose."""

OF_PJSIP = frozenset({"res_pjsip_header_funcs", "func_pjsip_endpoint"})
"""Modules that an Asterisk without PJSIP does not need."""
SPLIT_OFF = OF_PJSIP | frozenset({"res_websocket_client", "func_dialplan", "codec_gsm", "format_gsm"})
"""Optional modules: some releases or builds of Asterisk do not have them."""
