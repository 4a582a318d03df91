"""The manager interface over TLS: what is verified, and what is never sent in the clear."""

import asyncio
from typing import Any

import pytest

from ariagent.ami.client import AmiClient
from ariagent.config import AmiSettings
from ariagent.errors import AmiError, ConfigurationError

LIMIT_S = 20.0


async def refused(manager: Any, **settings: Any) -> AmiError:
    client = AmiClient(AmiSettings(**{"port": manager.port, "password": manager.password, **settings}))
    with pytest.raises(AmiError) as caught:
        async with asyncio.timeout(LIMIT_S):
            await client.connection()
    return caught.value


class TestGood:
    @pytest.mark.parametrize(("names", "settings"), [("127.0.0.1", {}), ("pbx.test", {"tls_name": "pbx.test"})])
    async def test_actions(self, desk: Any, manager: Any, authority: Any, names: str, settings: Any) -> None:
        await manager.stop()
        manager.tls = authority.issue(names).server()
        await manager.start()
        made = await desk(tls=True, ca_file=authority.file, **settings)
        assert (await made.client.action("Ping"))["response"] == "Success"
        assert "secret" not in manager.logins[0]


class TestBad:
    async def test_a_ca_that_the_machine_does_not_know(self, make_manager: Any, authority: Any) -> None:
        manager = await make_manager(tls=authority.issue("127.0.0.1").server())
        error = await refused(manager, tls=True)
        assert str(error).startswith(
            f"the certificate of Asterisk's manager interface at 127.0.0.1:{manager.port} is not trusted: "
        )
        assert "ami.ca_file" in error.remedy
        assert manager.logins == []

    async def test_another_ca(self, make_manager: Any, authority: Any, other_authority: Any) -> None:
        manager = await make_manager(tls=authority.issue("127.0.0.1").server())
        assert "is not trusted" in str(await refused(manager, tls=True, ca_file=other_authority.file))

    async def test_expired(self, make_manager: Any, authority: Any) -> None:
        manager = await make_manager(tls=authority.issue("127.0.0.1", expired=True).server())
        error = await refused(manager, tls=True, ca_file=authority.file)
        assert str(error).endswith(" has expired")
        assert error.remedy == "Renew it (tlscertfile in manager.conf)"

    async def test_another_name(self, make_manager: Any, authority: Any) -> None:
        manager = await make_manager(tls=authority.issue("pbx.test").server())
        error = await refused(manager, tls=True, ca_file=authority.file)
        assert " is for another name: " in str(error)
        assert "ami.tls_name" in error.remedy

    async def test_no_tls_there(self, make_manager: Any, authority: Any) -> None:
        manager = await make_manager()
        error = await refused(manager, tls=True, ca_file=authority.file)
        assert str(error) == f"127.0.0.1:{manager.port} does not speak TLS"
        assert error.remedy.startswith("Set ami.tls to false, or ami.port to the TLS port")

    async def test_tls_where_none_was_meant(self, make_manager: Any, authority: Any) -> None:
        manager = await make_manager(tls=authority.issue("127.0.0.1").server())
        error = await refused(manager)
        assert str(error) == f"127.0.0.1:{manager.port} speaks TLS, and ami.tls is false"
        assert error.remedy.startswith("Set ami.tls to true")

    async def test_a_port_that_says_nothing_and_ends(self, manager: Any) -> None:
        async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        await manager.stop()
        server = await asyncio.start_server(end, "127.0.0.1", manager.port)
        error = await refused(manager)
        server.close()
        assert str(error) == f"127.0.0.1:{manager.port} closed the connection without a greeting"

    async def test_an_http_server(self, make_manager: Any) -> None:
        manager = await make_manager(greeting=b"HTTP/1.1 404 Not Found\r\n")
        error = await refused(manager)
        assert str(error) == "not a manager interface: an HTTP server answered"

    def test_what_the_settings_lack_is_told_before_anything_is_tried(self, tmp_path: Any) -> None:
        def client(**settings: Any) -> AmiClient:
            return AmiClient(AmiSettings(**{"password": "x", "tls": True, **settings}))

        with pytest.raises(ConfigurationError, match=r"^ami\.ca_file: .* cannot be read"):
            client(ca_file=tmp_path / "none.pem")
        with pytest.raises(ConfigurationError, match="the environment variable NOT_SET_HERE is not set"):
            client(password="${NOT_SET_HERE}")


async def test_the_password_is_shown_to_nobody_also_over_tls(make_manager: Any, authority: Any) -> None:
    manager = await make_manager(tls=authority.issue("127.0.0.1").server(), md5=False)
    error = await refused(manager, tls=True, ca_file=authority.file)
    assert str(error).startswith("Asterisk's manager interface does not give a challenge for the login: ")
    assert "ami.host" in error.remedy
    assert manager.logins == []
