"""What is made of Asterisk's answers; a small ARI on loopback where a real one would not say such things."""

from typing import Any

import pytest

from ariagent.check import ari
from ariagent.check.asterisk import (
    AFTER_REACHING,
    NEEDED,
    USEFUL,
    check_asterisk,
    judge_application,
    judge_clock,
    judge_dialplan,
    judge_extension,
    judge_modules,
    judge_version,
    service_ports,
)
from ariagent.check.report import Result, Status
from ariagent.config import Settings


def version_of(version: str, **sections: Any) -> Result:
    return judge_version(version, Settings.model_validate(sections))


class TestApplication:
    def test_a_running_service(self) -> None:
        result = judge_application(Settings(), True, channels=1, bridges=1)
        assert (result.status, result.found) == (Status.OK, "the service is running as ariagent; 1 channel in it")

    def test_one_whose_ports_are_not_known_is_believed(self) -> None:
        settings = Settings.model_validate({"http": {"port": 0}, "audiosocket": {"port": 0}})
        assert service_ports(settings) == ()
        assert judge_application(settings, None, 0, 0).found.endswith("; 0 channels in it")

    def test_what_a_dead_process_left(self) -> None:
        result = judge_application(Settings(), False, channels=0, bridges=1)
        assert result.status is Status.WARNING
        assert result.found == (
            "Asterisk knows ariagent, but nobody answers at 127.0.0.1:9093 nor 127.0.0.1:9092: "
            "1 bridge and 0 channels are left of a dead process"
        )
        assert result.remedy == "Start it: `ariagent run -c FILE`"

    def test_a_service_that_listens_everywhere_is_asked_on_loopback(self) -> None:
        audio = {"host": "0.0.0.0", "port": 7, "advertise": "192.0.2.1:7"}
        settings = Settings.model_validate({"http": {"host": "::", "port": 8}, "audiosocket": audio})
        assert service_ports(settings) == (("::1", 8), ("127.0.0.1", 7))


class TestVersion:
    def test_one_without_faults(self) -> None:
        assert version_of("23.4.1").line.endswith("- 23.4.1, audio at 24 kHz; no known faults")

    def test_one_with_faults_names_them_and_where_they_are_gone(self) -> None:
        result = version_of("22.9.0")
        assert result.status is Status.WARNING
        assert "comfort noise or text from a phone ends the call's audio (commit 97798a05)" in result.found
        assert result.remedy == "Upgrade to 20.20, 22.10, 23.4 or later"

    def test_without_audiosocket(self) -> None:
        result = version_of("16.30.0")
        assert (result.status, result.found) == (Status.FAILED, "16.30.0 has no AudioSocket")

    def test_settings_beyond_it(self) -> None:
        result = version_of("22.6.0", audiosocket={"format": "slin24"})
        assert (result.status, result.found) == (
            Status.FAILED,
            "AudioSocket of Asterisk 22.6.0 carries 8 kHz only, not slin24",
        )

    def test_without_a_number(self) -> None:
        result = version_of("GIT-master-abc")
        assert result.status is Status.OK
        assert "nothing is known about its faults" in result.found


class TestModules:
    def test_all_there(self) -> None:
        told: list[Result] = []
        assert judge_modules({*NEEDED, *USEFUL, "codec_opus_open_source"}, told.append)
        assert [result.status for result in told] == [Status.OK]
        assert "opus" not in told[0].found

    def test_a_needed_one_missing(self) -> None:
        told: list[Result] = []
        assert not judge_modules({*NEEDED, *USEFUL} - {"chan_audiosocket"}, told.append)
        assert [(r.status, r.found) for r in told] == [
            (Status.FAILED, "chan_audiosocket is not loaded (the audio of every call)")
        ]
        assert "module load chan_audiosocket.so" in told[0].remedy

    def test_a_useful_one_missing(self) -> None:
        told: list[Result] = []
        assert judge_modules({*NEEDED, *USEFUL} - {"app_queue"}, told.append)
        assert [r.status for r in told] == [Status.WARNING, Status.OK]
        assert told[0].found.startswith("app_queue is not loaded (queues")


def test_dialplan() -> None:
    assert [r.status for r in judge_dialplan(["a", "b"], [])] == [Status.OK]
    some = judge_dialplan(["a"], ["b"])
    assert [(r.status, r.found) for r in some] == [(Status.OK, "a: there"), (Status.WARNING, "b: not there")]
    (nothing,) = judge_dialplan([], ["a", "b"])
    assert (nothing.status, nothing.found) == (Status.WARNING, "no way to the agents: a, b do not exist")
    assert "extensions.conf" in nothing.remedy


class TestReaching:
    async def told(self, **asterisk: Any) -> list[Result]:
        settings = Settings.model_validate({"asterisk": asterisk})
        results: list[Result] = []
        async with ari.probe(settings.asterisk) as probe:
            assert await check_asterisk(settings, probe, results.append) is None
        return results

    async def one(self, **asterisk: Any) -> Result:
        first, *rest = await self.told(**asterisk)
        assert [(r.name, r.status) for r in rest] == [(name, Status.SKIPPED) for name in AFTER_REACHING]
        assert first.status is Status.FAILED
        assert first.remedy
        return first

    async def test_nobody_listens(self, closed_port: int) -> None:
        result = await self.one(url=f"http://127.0.0.1:{closed_port}")
        assert result.found == f"cannot connect to http://127.0.0.1:{closed_port}: Connection refused"

    async def test_no_such_name(self) -> None:
        result = await self.one(url="http://no-such-host.invalid:8088")
        assert result.found.startswith("the name no-such-host.invalid of asterisk.url cannot be resolved: ")

    async def test_never_answers(self, silent_port: int) -> None:
        result = await self.one(url=f"http://127.0.0.1:{silent_port}", request_timeout_s=0.2)
        assert result.found == f"http://127.0.0.1:{silent_port} did not answer within 0.2 s"

    async def test_wrong_password(self, ari_server: Any) -> None:
        result = await self.one(url=ari_server.url, password="wrong")
        assert result.found == f"{ari_server.url} refused user ariagent or its password (401)"
        assert "wrong" not in result.line

    @pytest.mark.parametrize(
        "answer", [(404, "nothing here"), (200, "<html>It works!</html>"), (200, "[]"), (200, '{"system": 1}')]
    )
    async def test_no_ari(self, ari_server: Any, answer: tuple[int, str]) -> None:
        ari_server.answers["GET /asterisk/info"] = answer
        result = await self.one(url=ari_server.url, password=ari_server.password)
        assert result.found.startswith(f"{ari_server.url} answers, but is no ARI (HTTP {answer[0]} from ")

    async def test_no_http(self, talking_port: int) -> None:
        result = await self.one(url=f"http://127.0.0.1:{talking_port}")
        assert result.found.startswith(f"http://127.0.0.1:{talking_port} does not speak HTTP: ")


@pytest.mark.parametrize(
    ("date", "status"),
    [
        ("Sun, 22 Nov 2026 19:18:18 GMT", Status.OK),
        ("Sun, 22 Nov 2026 19:18:14 GMT", Status.OK),
        ("Sun, 22 Nov 2026 19:18:12 GMT", Status.WARNING),
        ("Sun, 22 Nov 2026 20:18:18 GMT", Status.WARNING),
        ("", None),
        ("yesterday", None),
    ],
)
def test_clock(date: str, status: Status | None) -> None:
    result = judge_clock(date, 1795375098.9)
    assert (result and result.status) == status


def test_an_extension_that_is_a_destination() -> None:
    assert judge_extension("boss", "1002", "inside", exists=True).status is Status.OK
    missing = judge_extension("boss", "1002", "inside", exists=False)
    assert (missing.status, missing.found) == (
        Status.FAILED,
        "boss: there is no extension 1002 in the context inside",
    )
