"""The example alert rules and the documents name metrics that there are, and the documents name all of them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ariagent.call.admission import Minutes
from ariagent.metrics import Metrics
from ariagent.synthesis.sources import candidates, system_sources
from lab.packages import default_lab_dir, ensure_tool

ROOT = Path(__file__).parents[1]
RULES = ROOT / "packaging" / "ariagent-alerts.yml"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

can_fetch = pytest.mark.skipif(
    shutil.which("promtool") is None and (shutil.which("apt-get") is None or not candidates(system_sources())),
    reason="apt has no Debian mirror here",
)


def all_metrics() -> Metrics:
    """Metrics as a running service has them."""
    found = Metrics()
    found.watch_media({"unknown_uuid": 1}, {"local": 1})
    found.watch_records(lambda: 0)
    found.watch_turn_judge(lambda: {"judged": 1})
    found.watch_minutes(lambda: [Minutes("minutes_per_day", "all", 60.0, 120.0)])
    found.watch_audio(bool)
    found.watch_seats(lambda: {("idle", ""): 10, ("paused", "manual"): 1})
    found.watch_service(accepting=bool, ari=bool, model=bool, ami=bool)
    return found


def metrics() -> dict[str, set[str]]:
    """Every sample that ariagent may export, by name, with its labels."""
    found = all_metrics()
    exported: dict[str, set[str]] = {}
    for line in found.render().decode().splitlines():
        if declared := re.match(r"# TYPE (ariagent_\w+) (\w+)", line):
            endings = ("_bucket", "_count", "_sum") if declared[2] == "histogram" else ("",)
            exported |= {f"{declared[1]}{ending}": set() for ending in endings}
        elif sample := re.match(r"(ariagent_\w+)\{(.*)\} ", line):
            exported.setdefault(sample[1], set()).update(re.findall(r'(\w+)="', sample[2]))
    # Those without a sample until something happens.
    for collector in vars(found).values():
        for family in collector.describe() if hasattr(collector, "_labelnames") else ():
            for ending in ("", "_total", "_bucket", "_count", "_sum"):
                labels = {*collector._labelnames, *(["le"] if ending == "_bucket" else [])}
                exported.get(f"{family.name}{ending}", set()).update(labels)
    return {name: labels for name, labels in exported.items() if not name.endswith("_created")}


def families(names: set[str]) -> set[str]:
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def test_every_metric_is_in_the_documents() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert {name for name in families(set(metrics())) if name not in text} == set()


def test_every_metric_in_the_documents_is_exported() -> None:
    known = families(set(metrics()))
    text = "\n".join(page.read_text() for page in PAGES)
    named = {name for name in re.findall(r"`(ariagent_[a-z_]+)", text) if not name.endswith("_")}
    assert len(named) > 20
    assert families(named) - known == set()


def test_the_labels_in_the_documents_are_those_that_are_exported() -> None:
    labels = metrics()
    text = "\n".join(page.read_text() for page in PAGES)
    told = re.findall(r"`(ariagent_[a-z_]+)\{([a-z_,]+)\}`", text)
    assert len(told) > 8
    for name, given in told:
        real = {label for sample, each in labels.items() if families({sample}) == {name} for label in each} - {"le"}
        assert set(given.split(",")) == real, name


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_metrics_and_labels_that_are_exported(rule: dict[str, Any]) -> None:
    labels = metrics()
    used = re.findall(r"\b(ariagent_[a-z_]+|up|process_start_time_seconds)\b(?:\{([^}]*)\})?", rule["expr"])
    assert used
    for name, matchers in used:
        if name.startswith("ariagent_"):
            assert name in labels
            assert set(re.findall(r"(\w+)\s*=", matchers)) <= labels[name]
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in by.split(",")}
    assert grouped <= {"instance"} | {label for name, _ in used for label in labels.get(name, ())}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_what_is_wrong_and_how_bad_it_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]


def test_the_results_and_reasons_that_rules_look_for_are_there() -> None:
    text = RULES.read_text()
    from ariagent.call.commands import Result

    for results in re.findall(r'ariagent_calls_total\{result=~"([^"]*)"', text):
        assert set(results.split("|")) <= {result.value for result in Result}


@can_fetch
class TestPromtool:
    @pytest.fixture
    def promtool(self) -> list[str]:
        return ensure_tool("promtool", default_lab_dir())

    def run(self, argv: list[str], text: str = "") -> str:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def test_the_rules_are_rules(self, promtool: list[str]) -> None:
        assert f"{len(rules())} rules found" in self.run([*promtool, "check", "rules", str(RULES)])

    def test_each_fires_when_it_should_and_not_on_a_good_day(self, promtool: list[str]) -> None:
        self.run([*promtool, "test", "rules", str(ROOT / "tests" / "alerts_test.yml")])

    def test_what_is_exported_is_as_prometheus_wants_it(self, promtool: list[str]) -> None:
        self.run([*promtool, "check", "metrics"], all_metrics().render().decode())
