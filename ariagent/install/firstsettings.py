"""CORE: the first settings file of a site, with comments, made from a few answers. ``ariagent init`` writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from ariagent.config import AudioSocketSettings, CapsSettings

RECEPTIONIST = "receptionist"
"""The agent that is made from the name of the business and the language."""
TEMPLATES = (RECEPTIONIST, "front_desk", "after_hours", "appointment", "order_status")
"""Agents to start from; all but the first are in ``ariagent/templates``, with rehearsals. They speak for an invented
business."""

AUDIOSOCKET_PORT = AudioSocketSettings().port


@dataclass(frozen=True, slots=True)
class Answers:
    """The administrator's answers. ``""`` means none, or not known."""

    business: str = ""
    """Name of the business, and what it does. Only for the receptionist."""
    template: str = RECEPTIONIST
    language: str = "en"
    """The language of the opening. Only for the receptionist."""
    human_queue: str = ""
    """The queue for callers who ask for a human agent."""
    model_url: str = ""
    """Another Realtime server than OpenAI's."""
    model: str = ""
    key: str = ""
    """The key as the settings have it: ``file:PATH``, ``${NAME}``, or nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Asterisk's addresses, and the users of the service."""

    ari_url: str
    ari_user: str
    ari_password: str
    """The password as the settings have it: ``file:PATH``."""
    ami_host: str
    ami_port: int
    ami_user: str
    ami_password: str
    app: str = "ariagent"
    seats: int = 10
    service_address: str = ""
    """IP address of a service on another machine, as Asterisk reaches it."""
    asterisk_address: str = ""
    """Asterisk's IP address, as that service reaches it."""


OPENINGS: Mapping[str, str] = {
    "en": "{business}, you are speaking with our automated assistant. How can I help you?",
    "de": "{business}, Sie sprechen mit unserem automatischen Assistenten. Wie kann ich Ihnen helfen?",
    "es": "{business}, le atiende nuestro asistente automático. ¿En qué puedo ayudarle?",
    "fr": "{business}, vous parlez avec notre assistant automatique. Comment puis-je vous aider ?",
    "it": "{business}, sta parlando con il nostro assistente automatico. Come posso aiutarla?",
    "nl": "{business}, u spreekt met onze automatische assistent. Waarmee kan ik u helpen?",
    "pt": "{business}, está a falar com o nosso assistente automático. Em que posso ajudar?",
}
"""The first words of the receptionist. They say that the caller is talking to an AI; many jurisdictions require it."""


def first_settings(answers: Answers, place: Place) -> str:
    """The text of the file."""
    parts = [_HEAD, _asterisk(place), _realtime(answers), _CAPS, _destinations(answers), _agent(answers)]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


_HEAD = """
# Settings of ariagent. docs/configuration.md describes every key. After a change run `ariagent check`, then reload the
# service (systemctl reload ariagent). Changes apply to new calls.
"""


_CAPS = f"""
# The model costs money. Above these caps callers go to the human queue. null: no cap.
caps:
  # Minutes of conversation a day, all calls together.
  minutes_per_day: {CapsSettings().minutes_per_day:g}
  # The part of them for callers without a number.
  minutes_per_day_unknown: {CapsSettings().minutes_per_day_unknown:g}
  # Calls of one number within 60 minutes.
  calls_per_caller_per_hour: null
"""


def _asterisk(place: Place) -> str:
    return (
        f"""
# How ariagent reaches Asterisk. `ariagent install` created both users and their passwords.
asterisk:
  url: {_text(place.ari_url)}
  user: {_text(place.ari_user)}
  password: {_text(place.ari_password)}
{f"  app: {_text(place.app)}" if place.app != "ariagent" else ""}
ami:
  host: {_text(place.ami_host)}
  port: {place.ami_port}
  user: {_text(place.ami_user)}
  password: {_text(place.ami_password)}

# The largest number of calls at the same time: the number of seats in the AI's queue.
max_calls: {place.seats}
""".replace("\n\nami:", "\nami:")
        + (_audio_from_elsewhere(place) if place.service_address else "")
    )


def _audio_from_elsewhere(place: Place) -> str:
    host = f"[{place.service_address}]" if ":" in place.service_address else place.service_address
    return f"""
# Asterisk connects to this machine for the calls' audio. The audio is not encrypted: use a separate network.
audiosocket:
  host: {json.dumps("::" if ":" in place.service_address else "0.0.0.0")}
  advertise: {json.dumps(f"{host}:{AUDIOSOCKET_PORT}")}
  allowed: [{json.dumps(place.asterisk_address)}]
"""


def _realtime(answers: Answers) -> str:
    lines = ["# The speech-to-speech model."]
    if not answers.key and not answers.model_url:
        lines += [
            "# The key is missing. Put it into a file that only root and the service's user can read; name it here:",
            "#   api_key: file:/etc/ariagent/openai-key",
        ]
    lines.append("realtime:")
    if answers.model_url:
        lines.append(f"  url: {_text(answers.model_url)}")
    if answers.model:
        lines.append(f"  model: {_text(answers.model)}")
    if answers.key:
        lines.append(f"  api_key: {_text(answers.key)}")
    if len(lines) and lines[-1] == "realtime:":
        lines[-1] = "realtime: {}"
    return "\n".join(lines)


def _destinations(answers: Answers) -> str:
    if not answers.human_queue:
        return ""
    return f"""
# Where the agent may transfer callers. The model sees the name and the description.
destinations:
  human:
    queue: {_text(answers.human_queue)}
    description: human agents, for everything that the assistant cannot do
"""


def _agent(answers: Answers) -> str:
    text = _receptionist(answers) if answers.template == RECEPTIONIST else _template(answers.template)
    if answers.human_queue and "\n    handoff:" not in text:
        text = text.replace("\n    language:", "\n    handoff: [human]\n    language:", 1)
    return text


def to_edit(template: str) -> list[str]:
    """The keys of the settings whose values are about the template's invented business."""
    if template == RECEPTIONIST:
        return []
    agent = [f"agents.default.{key}" for key in ("instructions", "language", "languages", "opening")]
    return agent + [key for key in ("tools", "outbound") if f"\n{key}:" in _template(template)]


def _template(name: str) -> str:
    return (files("ariagent.templates") / name / "agent.yaml").read_text(encoding="utf-8")


def _receptionist(answers: Answers) -> str:
    # Text in braces would be filled in at each call.
    business = " ".join(answers.business.split()).translate({ord("{"): "(", ord("}"): ")"}) or "our company"
    language = answers.language if answers.language in OPENINGS else "en"
    opening = OPENINGS[language].format(business=business.split(",")[0].strip())
    return f"""
# The AI agent. Write down what it must know. docs/agents.md describes what else it can do.
agents:
  default:
    instructions: |
      You are the automated telephone assistant of {business}. Today is {{now.weekday}}, {{now.date}}.
      Answer in one or two short sentences, then wait. If you do not know something, say so; never invent anything.
      Facts you may tell callers:
      - (opening hours, address, prices ...)
      If a caller asks for a human, or needs something that you cannot do, offer to transfer the call.
      When the caller says goodbye, say goodbye and call end_call.
    language: {language}
    opening: {_text(opening)}
    # Key 0 always reaches a human agent.
    keypad:
      actions: {{"0": person}}
"""


def _text(value: str) -> str:
    """A YAML scalar on one line. JSON's strings are YAML's too."""
    plain = value and all(sign.isalnum() or sign in "/.:_-" for sign in value) and not value[0].isdigit()
    is_plain = plain and ": " not in value and not value.endswith(":") and value.lower() not in _WORDS
    return value if is_plain else json.dumps(value, ensure_ascii=False)


_WORDS = frozenset({"yes", "no", "true", "false", "on", "off", "null", "y", "n", "~", "-", "."})
