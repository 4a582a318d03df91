"""Events as Asterisk 22.10.1 writes them, in its order and with its line breaks."""

from collections.abc import Mapping

CHANNEL = {
    "Channel": "PJSIP/anonymous-00000003",
    "ChannelState": "6",
    "ChannelStateDesc": "Up",
    "CallerIDNum": "5551000",
    "CallerIDName": "<unknown>",
    "ConnectedLineNum": "<unknown>",
    "ConnectedLineName": "<unknown>",
    "Language": "en",
    "AccountCode": "",
    "Context": "ariagent-queue",
    "Exten": "7000",
    "Priority": "13",
    "Uniqueid": "1795980360.60",
    "Linkedid": "1795980360.60",
}
MEMBER = {
    "Queue": "q",
    "MemberName": "Agent 1001",
    "Interface": "PJSIP/1001",
    "StateInterface": "PJSIP/1001",
    "Membership": "static",
    "Penalty": "0",
    "CallsTaken": "0",
    "LastCall": "0",
    "LastPause": "0",
    "LoginTime": "1795980359",
    "InCall": "0",
    "Status": "1",
    "Paused": "0",
    "PausedReason": "",
    "Ringinuse": "0",
    "Wrapuptime": "0",
}
LISTED_MEMBER = {
    "Queue": "q",
    "Name": "Agent 1001",
    "Location": "PJSIP/1001",
    "StateInterface": "PJSIP/1001",
    "Status": "1",
    "Paused": "0",
}
ENTRY = {
    "Event": "QueueEntry",
    "Queue": "q",
    "Position": "1",
    "Channel": "PJSIP/anonymous-00000003",
    "Uniqueid": "1795980360.60",
    "CallerIDNum": "5551000",
    "CallerIDName": "<unknown>",
    "ConnectedLineNum": "<unknown>",
    "ConnectedLineName": "<unknown>",
    "Wait": "7",
    "Priority": "0",
}

Fields = dict[str, str]


def channel(prefix: str = "", **changed: str) -> Fields:
    return {prefix + name: changed.get(name, value) for name, value in CHANNEL.items()}


def caller_left(queue: str = "q", unique_id: str = "1.1", **changed: str) -> Fields:
    own = channel(Uniqueid=unique_id, **changed)
    return {"Event": "QueueCallerLeave", "Privilege": "agent,all", **own, "Queue": queue, "Count": "0", "Position": "1"}


def agent_connected(**changed: str) -> Fields:
    agent = {"Queue": "q", "Interface": "PJSIP/1001", "MemberName": "Agent 1001", "RingTime": "900", "HoldTime": "1"}
    return {"Event": "AgentConnect", "Privilege": "agent,all", **channel(), **channel("Dest"), **agent, **changed}


def member_status(**changed: str) -> Fields:
    return {"Event": "QueueMemberStatus", "Privilege": "agent,all", **MEMBER, **changed}


def user_event(name: str, /, *, number: str = "1004", **said: str) -> Fields:
    own = channel(CallerIDNum=number)
    return {"Event": "UserEvent", "Privilege": "user,all", **own, "UserEvent": name, **said}


def status(action_id: str, **changed: str) -> Fields:
    more = {
        "Type": "PJSIP",
        "DNID": changed.pop("DNID", "7000"),
        "EffectiveConnectedLineNum": "<unknown>",
        "EffectiveConnectedLineName": "<unknown>",
        "TimeToHangup": "0",
        "BridgeID": "",
        "Application": "Stasis",
        "Data": "ariagent,seat,03",
        "ActionID": action_id,
    }
    return {"Event": "Status", "Privilege": "Call", **channel(**changed), **more}


def text(fields: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\n"
