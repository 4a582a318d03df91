"""The page /metrics: the names that dashboards rely on, and that each hook moves its number."""

import platform

import pytest

from ariagent import __version__
from ariagent.dialogue.turns import TurnLatency
from ariagent.metrics import Metrics
from ariagent.realtime.events import Usage
from ariagent.termination import Result, Termination


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample of ``/metrics`` by name with labels."""
    lines = (line for line in metrics.render().decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_the_promised_names_are_there_with_their_labels(metrics: Metrics) -> None:
    metrics.ended(Termination(Result.DONE, "caller_hung_up"), "sales")
    metrics.know_agents(["sales"])
    metrics.transfers.labels("blind", "ok").inc()
    shown = samples(metrics)
    for name in (
        'ariagent_response_seconds_count{agent="sales"}',
        'ariagent_response_seconds_sum{agent="sales"}',
        'ariagent_response_seconds_bucket{agent="sales",le="0.5"}',
        "ariagent_calls_active",
        'ariagent_calls_total{agent="sales",reason="caller_hung_up",result="done"}',
        'ariagent_transfers_total{kind="blind",result="ok"}',
        "ariagent_playout_underruns_total",
        "ariagent_uplink_dropped_seconds_total",
        "ariagent_realtime_reconnects_total",
    ):
        assert name in shown


def test_everything_of_ours_has_the_prefix(metrics: Metrics) -> None:
    others = {name for name in samples(metrics) if not name.startswith("ariagent_")}
    assert {name.split("_")[0] for name in others} <= {"process", "python"}


def test_a_turn_is_counted_whole_and_in_parts(metrics: Metrics) -> None:
    metrics.turn(TurnLatency(response_s=0.75, detection_s=0.5, model_s=0.24, service_s=0.01), "sales")
    shown = samples(metrics)
    assert shown['ariagent_response_seconds_sum{agent="sales"}'] == 0.75
    assert shown['ariagent_response_seconds_count{agent="sales"}'] == 1
    parts = {part: shown[f'ariagent_response_part_seconds_sum{{part="{part}"}}'] for part in ("detection", "service")}
    assert parts == {"detection": 0.5, "service": 0.01}
    assert shown['ariagent_response_part_seconds_sum{part="model"}'] == 0.24


def test_the_time_for_which_an_answer_was_held_is_a_part(metrics: Metrics) -> None:
    metrics.turn(TurnLatency(0.8, 0.2, 0.25, 0.05, 0.3), "sales")
    assert samples(metrics)['ariagent_response_part_seconds_sum{part="held"}'] == 0.3


def test_answers_before_the_end_of_a_turn_are_counted_by_their_outcome(metrics: Metrics) -> None:
    metrics.used_speculation.inc()
    metrics.discarded_speculation.inc(2)
    metrics.cut_ins.inc(3)
    shown = samples(metrics)
    assert shown['ariagent_speculative_responses_total{outcome="used"}'] == 1
    assert shown['ariagent_speculative_responses_total{outcome="discarded"}'] == 2
    assert shown["ariagent_cut_ins_total"] == 3


def test_judgements_are_read_when_the_page_is_asked_for(metrics: Metrics) -> None:
    counts = {"judged": 1}
    metrics.watch_turn_judge(lambda: counts)
    counts["judged"] = 5
    assert samples(metrics)['ariagent_turn_judgements_total{outcome="judged"}'] == 5


def test_an_added_delay_of_a_few_milliseconds_can_be_told_apart(metrics: Metrics) -> None:
    metrics.turn(TurnLatency(0.3, 0.2, 0.096, 0.004), "sales")
    shown = samples(metrics)
    assert shown['ariagent_response_part_seconds_bucket{le="0.002",part="service"}'] == 0
    assert shown['ariagent_response_part_seconds_bucket{le="0.005",part="service"}'] == 1


def test_calls_are_counted_by_agent_result_and_reason(metrics: Metrics) -> None:
    for termination in (
        Termination(Result.DONE, "caller_hung_up"),
        Termination(Result.DONE, "caller_hung_up", "whatever the details"),
        Termination(Result.NO_MODEL, "model_unreachable"),
    ):
        metrics.ended(termination, "sales")
    metrics.ended(Termination(Result.BUSY, "full"))
    shown = samples(metrics)
    assert shown['ariagent_calls_total{agent="sales",reason="caller_hung_up",result="done"}'] == 2
    assert shown['ariagent_calls_total{agent="sales",reason="model_unreachable",result="no_model"}'] == 1
    assert shown['ariagent_calls_total{agent="-",reason="full",result="busy"}'] == 1


def test_tokens_are_counted_by_kind(metrics: Metrics) -> None:
    metrics.used("default", "m", Usage(1, 2, 3, 4, 5, 6), 0.5)
    metrics.used("default", "m", Usage(output_audio=10), None)
    shown = samples(metrics)
    kinds = ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio")
    assert [shown[f'ariagent_realtime_tokens_total{{kind="{kind}"}}'] for kind in kinds] == [1, 2, 3, 4, 5, 16]


def test_the_answer_time_is_observed(metrics: Metrics) -> None:
    metrics.answered(0.018)
    assert samples(metrics)["ariagent_answer_seconds_sum"] == 0.018


def test_two_services_in_one_process_count_apart(metrics: Metrics) -> None:
    metrics.active.inc()
    assert samples(Metrics())["ariagent_calls_active"] == 0
    assert samples(metrics)["ariagent_calls_active"] == 1


def test_what_runs_is_told(metrics: Metrics) -> None:
    (name,) = (name for name in samples(metrics) if name.startswith("ariagent_build_info"))
    assert f'version="{__version__}"' in name
    assert f'python="{platform.python_version()}"' in name


@pytest.mark.parametrize("managed", [True, False])
def test_what_the_service_is_connected_to_is_told_as_it_is_when_asked(metrics: Metrics, managed: bool) -> None:
    now = dict.fromkeys(("accepting", "ari", "ami", "model"), False)
    metrics.watch_service(
        accepting=lambda: now["accepting"],
        ari=lambda: now["ari"],
        model=lambda: now["model"],
        ami=(lambda: now["ami"]) if managed else None,
    )
    names = ("ariagent_accepting_calls", "ariagent_ari_connected", "ariagent_model_usable")
    assert [samples(metrics)[name] for name in names] == [0, 0, 0]
    now = dict.fromkeys(now, True)
    assert [samples(metrics)[name] for name in names] == [1, 1, 1]
    assert samples(metrics).get("ariagent_ami_connected") == (1 if managed else None)


def test_an_announced_end_is_told_by_model_until_it_is_not_any_more(metrics: Metrics) -> None:
    metrics.model_shutdowns({"old": 1_800_403_200.0})
    assert samples(metrics)['ariagent_model_shutdown_timestamp_seconds{model="old"}'] == 1_800_403_200.0
    metrics.model_shutdowns({})
    assert not any("model_shutdown" in name for name in samples(metrics))
