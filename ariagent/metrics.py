"""Every metric that ariagent exports, in one place. Prometheus format; prefix ``ariagent_``."""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ariagent import __version__
from ariagent.dialogue.turns import TurnLatency
from ariagent.realtime.events import Usage
from ariagent.termination import Termination

# Around the half second that callers expect; what this service adds is tens of milliseconds.
RESPONSE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
FAILED_RESPONSE_REASONS = frozenset(
    ("rate_limit_exceeded", "insufficient_quota", "server_error", "content_filter", "max_output_tokens", "silent")
)
NO_AGENT = "-"
"""The label of calls that no agent of the settings was to take. A name given by a caller or the dialplan is no
label."""
SHORT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25)


class TalkMinutes(Protocol):
    """Conversation of today, and its cap."""

    @property
    def callers(self) -> str:
        """``all`` or ``unknown``: the callers whose conversation it is."""

    @property
    def used_s(self) -> float: ...
    @property
    def cap_s(self) -> float | None:
        """None: no cap."""


class _MediaCounts(Collector):
    """AudioSocket connections by how they were refused or ended, as the server counts them."""

    def __init__(self, refused: Mapping[str, int], ended: Mapping[str, int]) -> None:
        self._families = {
            ("ariagent_audiosocket_refused", "Audio connections that were refused, by reason"): refused,
            ("ariagent_audiosocket_ended", "Audio connections that ended, by reason"): ended,
        }

    def collect(self) -> Iterator[CounterMetricFamily]:
        for (name, text), counts in self._families.items():
            family = CounterMetricFamily(name, text, labels=["reason"])
            for reason, count in counts.items():
                family.add_metric([str(reason)], count)
            yield family


class _Judgements(Collector):
    """Judgements of the ends of turns, as the judge counts them."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        text = "Requests to the end-of-turn judge by outcome (judged, late, cancelled, failed)"
        family = CounterMetricFamily("ariagent_turn_judgements", text, labels=["outcome"])
        for outcome, count in self._counts().items():
            family.add_metric([outcome], count)
        yield family


class _SeatCounts(Collector):
    """The AI's seats, as Asterisk has them now."""

    def __init__(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        text = "The AI's seats, by state in the queue (idle, busy, paused, unavailable, invalid) and reason"
        family = GaugeMetricFamily("ariagent_seats", text, labels=["state", "reason"])
        for labels, count in self._counts().items():
            family.add_metric(list(labels), count)
        yield family


class _TalkMinutes(Collector):
    """The day's conversation and its caps, of all calls, and of calls without a caller's number."""

    def __init__(self, minutes: Callable[[], Iterable[TalkMinutes]]) -> None:
        self._minutes = minutes

    def collect(self) -> Iterator[GaugeMetricFamily]:
        used = GaugeMetricFamily("ariagent_talk_seconds_today", "Seconds of conversation today", labels=["callers"])
        cap = GaugeMetricFamily(
            "ariagent_talk_seconds_cap", "Daily cap of the seconds of conversation, if a cap is set", labels=["callers"]
        )
        for minutes in self._minutes():
            used.add_metric([minutes.callers], minutes.used_s)
            if minutes.cap_s is not None:
                cap.add_metric([minutes.callers], minutes.cap_s)
        yield from (used, cap)


class Metrics:
    """One process's metrics, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self.response = Histogram(
            "ariagent_response_seconds",
            "Answer delay: from the true end of the caller's speech to the first frame of the answer to Asterisk",
            ["agent"],
            buckets=RESPONSE_BUCKETS,
            registry=registry,
        )
        self.response_part = Histogram(
            "ariagent_response_part_seconds",
            "Parts of ariagent_response_seconds: detection (of the turn), model (with tools), held, service (ariagent)",
            ["part"],
            buckets=(*SHORT_BUCKETS, *RESPONSE_BUCKETS[2:]),
            registry=registry,
        )
        # Looked up once: this is done at every turn of every call.
        parts = ("detection", "model", "held", "service")
        self._detection, self._model, self._held, self._service = map(self.response_part.labels, parts)
        self.active = Gauge("ariagent_calls_active", "Running calls", registry=registry)
        self.tasks = Gauge("ariagent_asyncio_tasks", "Tasks of the event loop", registry=registry)
        self.calls = Counter("ariagent_calls", "Calls that ended", ["agent", "result", "reason"], registry=registry)
        Info("ariagent_build", "Versions of ariagent and Python", registry=registry).info(
            {"version": __version__, "python": platform.python_version()}
        )
        self.loop_lag = Histogram(
            "ariagent_loop_lag_seconds",
            "Event loop delay",
            buckets=(*SHORT_BUCKETS, 0.5, 1.0),
            registry=registry,
        )
        self.answer = Histogram(
            "ariagent_answer_seconds",
            "From a call's arrival in Stasis to its answer",
            buckets=(*SHORT_BUCKETS, 0.5, 1.0, 2.0, 5.0),
            registry=registry,
        )
        self.interruptions = Counter(
            "ariagent_interruptions", "Times that a caller interrupted the agent", registry=registry
        )
        speculative = Counter(
            "ariagent_speculative_responses",
            "Answers before the caller's turn was known to be over (turns: fast)",
            ["outcome"],
            registry=registry,
        )
        self.used_speculation, self.discarded_speculation = map(speculative.labels, ("used", "discarded"))
        self.cut_ins = Counter(
            "ariagent_cut_ins",
            "Times that a caller continued to speak within 1.2 s of the beginning of an answer",
            registry=registry,
        )
        self.dismissed = Counter(
            "ariagent_dismissed_sounds",
            "Sounds during a reply that were not an interruption",
            ["what"],
            registry=registry,
        )
        self.underruns = Counter(
            "ariagent_playout_underruns",
            "Gaps in the agent's speech, because the model's audio came too late",
            registry=registry,
        )
        self.uplink_dropped = Counter(
            "ariagent_uplink_dropped_seconds",
            "Caller audio that was dropped because the connection to the model was too slow",
            registry=registry,
        )
        self.announcement_failures = Counter(
            "ariagent_announcement_failures", "Spoken summaries that Asterisk could not play", registry=registry
        )
        self.resumed = Counter(
            "ariagent_calls_resumed", "Calls of an earlier process that this process continued", registry=registry
        )
        self.uplink_silence = Counter(
            "ariagent_uplink_silence_seconds",
            "Silence that ariagent inserted where the phone sent nothing (hold, mute, DTX, loss)",
            registry=registry,
        )
        self.reconnects = Counter(
            "ariagent_realtime_reconnects", "Reconnected model sessions during calls", registry=registry
        )
        self.model_failures = Counter(
            "ariagent_realtime_failures",
            "Model sessions that failed, by the kind of failure",
            ["fault"],
            registry=registry,
        )
        self.failed_responses = Counter(
            "ariagent_realtime_failed_responses",
            "Responses of the model that failed or were cut short",
            ["reason"],
            registry=registry,
        )
        self.malformed = Counter(
            "ariagent_malformed",
            "Malformed input that was skipped, or that ended its connection, by peer",
            ["peer"],
            registry=registry,
        )
        self.transfers = Counter(
            "ariagent_transfers",
            "Transfers: done, failed, declined, or not taken",
            ["kind", "result"],
            registry=registry,
        )
        self.tokens = Counter(
            "ariagent_realtime_tokens", "Tokens of the model that calls have used, by kind", ["kind"], registry=registry
        )
        self.records_failures = Counter(
            "ariagent_records_failures", "Times that call records could not be written", registry=registry
        )
        self.cost = Counter("ariagent_cost", "Cost of the model, in cost.currency", ["agent"], registry=registry)
        self._shutdown = Gauge(
            "ariagent_model_shutdown_timestamp_seconds",
            "Announced time at which a model in use is shut down, in seconds since the epoch",
            ["model"],
            registry=registry,
        )
        self.tools = Histogram(
            "ariagent_tool_seconds",
            "Duration of the site's tools, by tool and result",
            ["tool", "kind"],
            buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0),
            registry=registry,
        )

    def know_agents(self, names: Iterable[str]) -> None:
        """Agents of the settings: their response times are exported before their first call."""
        for name in names:
            self.response.labels(name)

    def watch_service(
        self,
        *,
        accepting: Callable[[], bool],
        ari: Callable[[], bool],
        model: Callable[[], bool],
        ami: Callable[[], bool] | None,
    ) -> None:
        """Export 1 or 0 for each; read when ``/metrics`` is asked for. ``ami``: None without a manager interface."""
        watched = (
            (
                "ariagent_accepting_calls",
                "1 while the service takes new calls (/healthz answers 200), else 0",
                accepting,
            ),
            ("ariagent_ari_connected", "1 while Asterisk's event stream is connected, else 0", ari),
            ("ariagent_ami_connected", "1 while Asterisk's manager interface is connected, else 0", ami),
            ("ariagent_model_usable", "1 if the model could be used at the last trial, else 0", model),
        )
        for name, text, holds in watched:
            if holds is not None:
                Gauge(name, text, registry=self.registry).set_function(holds)

    def model_shutdowns(self, at: Mapping[str, float]) -> None:
        """The announced ends of used models, by name, in seconds since the epoch."""
        self._shutdown.clear()
        for model, when in at.items():
            self._shutdown.labels(model).set(when)

    def watch_records(self, dropped: Callable[[], float]) -> None:
        """Export how much of the records was dropped; read when ``/metrics`` is asked for."""
        gauge = Gauge("ariagent_records_dropped", "Rows of call records that were not written", registry=self.registry)
        gauge.set_function(dropped)

    def watch_audio(self, usable: Callable[[], bool]) -> None:
        """Export whether the audio's way was usable when it was last tried; read when ``/metrics`` is asked for."""
        gauge = Gauge(
            "ariagent_audio_usable",
            "1 if Asterisk could connect its audio at the last trial, else 0",
            registry=self.registry,
        )
        gauge.set_function(lambda: float(usable()))

    def watch_seats(self, counts: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Export how many seats there are by (state, reason); read when ``/metrics`` is asked for."""
        self.registry.register(_SeatCounts(counts))

    def watch_turn_judge(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Export the judgements of turns by outcome; read when ``/metrics`` is asked for."""
        self.registry.register(_Judgements(counts))

    def watch_minutes(self, minutes: Callable[[], Iterable[TalkMinutes]]) -> None:
        """Export the day's conversation and its caps; read when ``/metrics`` is asked for."""
        self.registry.register(_TalkMinutes(minutes))

    def watch_media(self, refused: Mapping[str, int], ended: Mapping[str, int]) -> None:
        """Export the audio server's counts by reason; read when ``/metrics`` is asked for."""
        self.registry.register(_MediaCounts(refused, ended))

    def answered(self, after_s: float) -> None:
        self.answer.observe(after_s)

    def turn(self, latency: TurnLatency, agent: str) -> None:
        """``agent``: one of the settings."""
        self.response.labels(agent).observe(latency.response_s)
        self._detection.observe(latency.detection_s)
        self._model.observe(latency.model_s)
        self._held.observe(latency.held_s)
        self._service.observe(latency.service_s)

    def response_failed(self, reason: str) -> None:
        """Reasons come from the server: only known ones become label values."""
        self.failed_responses.labels(reason if reason in FAILED_RESPONSE_REASONS else "other").inc()

    def ended(self, termination: Termination, agent: str = NO_AGENT) -> None:
        """``agent``: the one of the settings that the call was for."""
        self.calls.labels(agent, termination.result.value, termination.reason).inc()

    def used(self, agent: str, model: str, usage: Usage, money: float | None) -> None:
        """Tokens of a response, and what they cost (None: the model has no price)."""
        for kind, count in usage.tokens.items():
            self.tokens.labels(kind).inc(count)
        if money is not None:
            self.cost.labels(agent).inc(money)

    def tool_called(self, name: str, seconds: float, kind: str) -> None:
        self.tools.labels(name, kind).observe(seconds)

    def render(self) -> bytes:
        """The text that ``/metrics`` answers."""
        return generate_latest(self.registry)
