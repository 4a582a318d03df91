"""Findings from Asterisk's answers; a small ARI on loopback where a real one would not give such answers."""

from typing import Any

import pytest

from ariagent.check.asterisk import (
    NEEDED,
    USEFUL,
    judge_application,
    judge_clock,
    judge_modules,
    service_ports,
)
from ariagent.check.checks import CHECKS, Need, run_checks
from ariagent.check.report import Result, Status
from ariagent.check.site import opened
from ariagent.config import Settings


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
            "the service is down: no answer at 127.0.0.1:9093 nor 127.0.0.1:9092. Asterisk still holds "
            "1 bridge and 0 channels of the old process (ariagent), which is normal"
        )
        assert result.remedy == "Start it: `ariagent run -c FILE`"

    def test_a_service_that_listens_everywhere_is_asked_on_loopback(self) -> None:
        audio = {"host": "0.0.0.0", "port": 7, "advertise": "192.0.2.1:7"}
        settings = Settings.model_validate({"http": {"host": "::", "port": 8}, "audiosocket": audio})
        assert service_ports(settings) == (("::1", 8), ("127.0.0.1", 7))


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


class TestReaching:
    async def told(self, **asterisk: Any) -> list[Result]:
        settings = Settings.model_validate({"asterisk": asterisk})
        results: list[Result] = []
        checks = [check for check in CHECKS if check.needs is Need.ASTERISK]
        async with opened(settings, "a.yaml") as site:
            await run_checks(checks, site, lambda _, result: results.append(result))
        return results

    async def one(self, **asterisk: Any) -> Result:
        first, *rest = await self.told(**asterisk)
        assert {r.name for r in rest} == {
            *(
                "asterisk version",
                "asterisk security",
                "ARI user",
                "ARI description",
                "modules",
                "application",
                "dialplan",
                "transfers",
            ),
            *("audio connection", "queues", "human queue"),
        }
        assert {(r.status, r.found) for r in rest} == {(Status.SKIPPED, "needs Asterisk")}
        assert first.status is Status.FAILED
        assert first.remedy
        return first

    async def test_nobody_listens(self, closed_port: int) -> None:
        result = await self.one(url=f"http://127.0.0.1:{closed_port}")
        assert result.found == f"cannot reach Asterisk at http://127.0.0.1:{closed_port}: Connection refused"

    async def test_no_such_name(self) -> None:
        result = await self.one(url="http://no-such-host.invalid:8088")
        assert result.found.startswith("the name no-such-host.invalid of asterisk.url cannot be resolved: ")

    async def test_never_answers(self, silent_port: int) -> None:
        result = await self.one(url=f"http://127.0.0.1:{silent_port}", request_timeout_s=0.2)
        assert result.found == f"http://127.0.0.1:{silent_port} did not answer within 0.2 s"

    async def test_wrong_password(self, ari_server: Any) -> None:
        result = await self.one(url=ari_server.url, password="wrong")
        assert result.found == f"{ari_server.url} refused user ariagent or its password (HTTP 401)"
        assert "wrong" not in result.line

    @pytest.mark.parametrize(
        "answer", [(404, "nothing here"), (200, "<html>It works!</html>"), (200, "[]"), (200, '{"system": 1}')]
    )
    async def test_no_ari(self, ari_server: Any, answer: tuple[int, str]) -> None:
        ari_server.answers["GET /asterisk/info"] = answer
        result = await self.one(url=ari_server.url, password=ari_server.password)
        assert result.found.startswith(f"{ari_server.url} answers, but is no ARI (HTTP {answer[0]} from ")

    async def test_an_ari_that_did_not_load(self, ari_server: Any) -> None:
        """Asterisk's HTTP server is there and right, and still every request of ARI is not found."""
        ari_server.answers["GET /asterisk/info"] = (404, "nothing here")
        ari_server.server = "Asterisk/22.10.1"
        result = await self.one(url=ari_server.url, password=ari_server.password)
        assert result.found == f"{ari_server.url} is Asterisk's HTTP server, but there is no ARI at it (HTTP 404)"
        assert "ari.conf did not load" in result.remedy

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
