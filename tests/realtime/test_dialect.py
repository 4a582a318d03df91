"""Servers that are not OpenAI's: what is known of them, what a call finds out, and what is sent then."""

import asyncio
from typing import Any

import pytest

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.config.agents import ServerVad
from ariagent.config.peers import FallbackSettings
from ariagent.realtime import events as ev
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.dialect import AZURE, LOCALAI, OPENAI, SPEECH_TO_SPEECH, UNKNOWN, Dialect, Understanding, of
from ariagent.realtime.health import ModelHealth
from ariagent.realtime.out_of_band import AGAIN_S, TRIES
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import Heard, RealtimeSession
from ariagent.realtime.truncation import BURST_S, STALLED_S, UNANSWERED_WAIT_S
from tests.foreignserver import foreign

LOCAL = "ws://127.0.0.1:8765/v1/realtime"
WORDS = "one two three four five six seven eight nine ten"
SECOND = bytes(48_000)
RACED = "conversation_already_has_active_response"


@pytest.fixture
def talk(make_peer: Any) -> Any:
    """``talk(dialect)``: a session that is ready, with a server of that dialect; UNKNOWN: one that is learnt from."""

    def make(dialect: Dialect = UNKNOWN, *, shared: Understanding | None = None, **detection: Any) -> Any:
        agent = AgentSettings(turn_detection=ServerVad(**detection))
        peer = make_peer(agent)
        peer.session = RealtimeSession(peer.session.profile, shared or Understanding(dialect))
        return peer.ready()

    return make


def found(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.fields["switch"] for r in caplog.records if r.getMessage() == "model.dialect_found"]  # type: ignore[attr-defined]


def reply(peer: Any, *, over: bool = True, told: str = WORDS) -> None:
    """A reply of ten words and ten seconds; it has been generated, or half of it."""
    peer.starts_response()
    place = {"response_id": "resp_1", "item_id": "item_a"}
    for _ in range(10 if over else 5):
        peer.speaks(SECOND)
    if over:
        peer.says("response.output_audio_transcript.done", **place, transcript=told)
        peer.says("response.done", response={"id": "resp_1", "status": "completed"})
    peer.hears()


def said(messages: list[dict[str, Any]]) -> list[Any]:
    """The sent messages, in short."""
    short: list[Any] = []
    for message in messages:
        match message["type"].rpartition(".")[2]:
            case "create" if "item" in message:
                item = message["item"]
                short.append((item["role"], item["content"][0]["text"], message.get("previous_item_id", "")))
            case "create":
                short.append(("response", message["response"].get("conversation", "")))
            case kind:
                short.append((kind, message.get("item_id") or message.get("response_id")))
    return short


class TestWhatIsKnown:
    @pytest.mark.parametrize(
        ("url", "dialect", "expected"),
        [
            ("wss://api.openai.com/v1/realtime", "auto", OPENAI),
            ("wss://eu.api.openai.com/v1/realtime", "auto", OPENAI),
            ("wss://x.openai.azure.com/openai/v1/realtime", "auto", AZURE),
            ("wss://notopenai.com/v1/realtime", "auto", UNKNOWN),
            (LOCAL, "auto", UNKNOWN),
            (LOCAL, "localai", LOCALAI),
            (LOCAL, "speech-to-speech", SPEECH_TO_SPEECH),
            (LOCAL, "openai", OPENAI),
            ("wss://proxy.example.com/v1", "azure", AZURE),
        ],
    )
    def test_by_the_settings_and_the_host(self, url: str, dialect: Any, expected: Dialect) -> None:
        assert of(RealtimeSettings(url=url, dialect=dialect)) == expected

    def test_each_endpoint_has_its_own(self) -> None:
        fallback = FallbackSettings(url=LOCAL, dialect="localai")
        dialects = ModelHealth(RealtimeSettings(fallback=fallback)).dialects
        assert [each.now for each in dialects] == [OPENAI, LOCALAI]

    @pytest.mark.parametrize("dialect", [OPENAI, AZURE, LOCALAI, SPEECH_TO_SPEECH])
    def test_one_that_is_named_is_not_learnt_from(self, dialect: Dialect, caplog: pytest.LogCaptureFixture) -> None:
        understanding = Understanding(dialect)
        assert not understanding.found("truncates", "nothing came")
        assert understanding.now == dialect
        assert found(caplog) == []

    def test_what_is_found_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        understanding = Understanding(UNKNOWN)
        assert understanding.found("truncates", "nothing came")
        assert understanding.found("truncates", "nothing came")
        assert understanding.found("notes", "only the last")
        assert (understanding.now.truncates, understanding.now.notes) == (False, "user")
        assert found(caplog) == ["truncates", "notes"]

    def test_the_deviations_have_names(self) -> None:
        assert OPENAI.deviations == ()
        assert AZURE.deviations == ("own_names",)
        assert "truncates" in LOCALAI.deviations


class TestNotes:
    def test_are_items_of_the_role_that_the_server_keeps(self, talk: Any) -> None:
        for dialect, role in ((OPENAI, "system"), (LOCALAI, "system"), (SPEECH_TO_SPEECH, "user")):
            peer = talk(dialect)
            peer.session.add_text("system", "[system] Her name is Ann.")
            peer.session.add_text("assistant", "Hello.")
            assert said(peer.hears()) == [(role, "[system] Her name is Ann.", ""), ("assistant", "Hello.", "")]

    def test_the_opening_has_a_place_only_where_places_count(self, talk: Any) -> None:
        for dialect, place in ((OPENAI, "root"), (UNKNOWN, "root"), (LOCALAI, ""), (SPEECH_TO_SPEECH, "")):
            peer = talk(dialect)
            peer.session.add_said("aria_opening", "Hello.")
            assert said(peer.hears()) == [("assistant", "Hello.", place)]


class TestTruncation:
    def interrupt(self, peer: Any, heard_ms: float = 4500.0) -> list[Any]:
        peer.session.interrupt([Heard("item_a", heard_ms)], peer.now)
        return said(peer.hears())

    def test_where_it_has_no_effect_the_item_is_replaced_by_what_was_heard(self, talk: Any) -> None:
        peer = talk(SPEECH_TO_SPEECH)
        reply(peer)
        assert self.interrupt(peer) == [("assistant", "one two three four five ...", ""), ("delete", "item_a")]

    def test_of_which_nothing_was_heard_it_is_deleted(self, talk: Any) -> None:
        peer = talk(LOCALAI)
        reply(peer)
        assert self.interrupt(peer, 0.0) == [("delete", "item_a")]

    def test_a_reply_that_is_still_generated_is_replaced_when_it_is_over(self, talk: Any) -> None:
        peer = talk(LOCALAI)
        peer.starts_response()
        place = {"response_id": "resp_1", "item_id": "item_a"}
        for word in WORDS.split()[:5]:
            peer.speaks(SECOND)
            peer.says("response.output_audio_transcript.delta", **place, delta=f"{word} ")
        peer.hears()
        assert self.interrupt(peer, 2500.0) == [("cancel", "resp_1")]
        peer.says("response.done", response={"id": "resp_1", "status": "cancelled"})
        assert said(peer.hears()) == [("assistant", "one two three ...", ""), ("delete", "item_a")]

    def test_a_character_that_came_in_two_pieces_is_whole_again(self, talk: Any) -> None:
        peer = talk(LOCALAI)
        peer.starts_response()
        place = {"response_id": "resp_1", "item_id": "item_a"}
        peer.speaks(SECOND)
        for delta in ("Hello \ud83d", "\ude00 and \ud83d"):
            peer.says("response.output_audio_transcript.delta", **place, delta=delta)
        peer.says("response.done", response={"id": "resp_1", "status": "completed"})
        peer.hears()
        assert self.interrupt(peer, 1000.0)[0] == ("assistant", "Hello \U0001f600 and \ufffd", "")

    def test_words_that_come_at_the_end_are_not_stretched_over_half_of_the_sound(self, talk: Any) -> None:
        peer = talk(LOCALAI)
        peer.starts_response()
        peer.speaks(SECOND)  # of some 2.7 s
        peer.hears()
        self.interrupt(peer, 900.0)
        place = {"response_id": "resp_1", "item_id": "item_a"}
        peer.says("response.output_audio_transcript.done", **place, transcript=WORDS)
        peer.says("response.done", response={"id": "resp_1", "status": "cancelled"})
        [(_, words, _), _] = said(peer.hears())
        assert words.startswith("one two three")
        assert "six" not in words

    def test_openai_gets_what_it_always_got(self, talk: Any) -> None:
        peer = talk(OPENAI)
        reply(peer)
        assert self.interrupt(peer) == [("truncate", "item_a")]
        assert peer.session.next_deadline() is None


class TestTruncationThatIsNotAnswered:
    def left_alone(self, peer: Any) -> None:
        """The caller interrupts; the server continues as if nothing had been asked of it."""
        reply(peer)
        peer.session.interrupt([Heard("item_a", 4500.0)], peer.now)
        assert said(peer.hears()) == [("truncate", "item_a")]
        peer.now += STALLED_S
        peer.says("input_audio_buffer.speech_stopped", audio_end_ms=1, item_id="item_u")

    def test_is_noticed_after_a_second_and_repaired(self, talk: Any, caplog: pytest.LogCaptureFixture) -> None:
        peer = talk()
        self.left_alone(peer)
        deadline = peer.session.next_deadline()
        assert deadline == UNANSWERED_WAIT_S
        peer.session.tick(deadline - 0.01)
        assert peer.hears() == []
        peer.session.tick(deadline)
        # Behind the item that it replaces: what the caller has said since then comes after it.
        heard = ("assistant", "one two three four five ...", "item_a")
        assert said(peer.hears()) == [heard, ("delete", "item_a")]
        assert found(caplog) == ["truncates"]
        assert peer.session.next_deadline() is None

    def test_is_known_to_every_call_from_then_on(self, talk: Any) -> None:
        shared = Understanding(UNKNOWN)
        self.left_alone(peer := talk(shared=shared))
        peer.session.tick(UNANSWERED_WAIT_S)
        other = talk(shared=shared)
        reply(other)
        other.session.interrupt([Heard("item_a", 4500.0)], 0.0)
        assert [kind for kind, *_ in said(other.hears())] == ["assistant", "delete"]

    def test_an_answer_in_time_is_one(self, talk: Any, caplog: pytest.LogCaptureFixture) -> None:
        self.left_alone(peer := talk())
        peer.now = UNANSWERED_WAIT_S - 0.01
        peer.says("conversation.item.truncated", item_id="item_a", audio_end_ms=4500)
        assert peer.session.next_deadline() is None
        peer.session.tick(100.0)
        assert peer.hears() == []
        assert found(caplog) == []

    def test_one_answer_proves_that_the_server_can(self, talk: Any, caplog: pytest.LogCaptureFixture) -> None:
        peer = talk()
        reply(peer)
        peer.session.interrupt([Heard("item_a", 4500.0)], peer.now)
        peer.says("conversation.item.truncated", item_id="item_a", audio_end_ms=4500)
        peer.session.interrupt([Heard("item_b", 4500.0)], peer.now)
        peer.now = 0.5
        peer.says("rate_limits.updated")
        peer.session.tick(100.0)
        assert found(caplog) == []

    def test_a_network_that_stalls_is_no_refusal(self, talk: Any, caplog: pytest.LogCaptureFixture) -> None:
        peer = talk()
        reply(peer)
        peer.session.interrupt([Heard("item_a", 4500.0)], peer.now)
        peer.hears()
        peer.says("response.done", response={"id": "resp_1", "status": "cancelled"})  # was on its way
        peer.session.tick(5.0)
        peer.now = 5.0  # what was held up comes, the answer at its end
        peer.says("input_audio_buffer.speech_stopped", audio_end_ms=1, item_id="item_u")
        peer.now = 5.0 + BURST_S / 2
        peer.says("conversation.item.truncated", item_id="item_a", audio_end_ms=4500)
        peer.session.tick(100.0)
        assert peer.hears() == []
        assert found(caplog) == []

    def test_a_session_that_ends_first_tells_nothing(self, talk: Any, caplog: pytest.LogCaptureFixture) -> None:
        self.left_alone(peer := talk())
        peer.session.closed(1000, "")
        assert peer.session.next_deadline() is None
        assert peer.session.receive("{}", 100.0) == []
        assert found(caplog) == []

    def test_openai_is_never_doubted(self, talk: Any, caplog: pytest.LogCaptureFixture) -> None:
        self.left_alone(peer := talk(OPENAI))
        peer.session.tick(100.0)
        assert peer.hears() == []
        assert found(caplog) == []

    def test_a_place_that_is_refused_is_done_without(self, talk: Any, caplog: pytest.LogCaptureFixture) -> None:
        self.left_alone(peer := talk())
        peer.session.tick(UNANSWERED_WAIT_S)
        create, _ = peer.hears()
        peer.objects("invalid_value", "no such item", event_id=create["event_id"])
        assert said(peer.hears()) == [("assistant", "one two three four five ...", "")]
        assert found(caplog) == ["truncates", "places"]


class TestAsides:
    def test_wait_where_one_response_runs_at_a_time(self, talk: Any) -> None:
        for dialect in (LOCALAI, SPEECH_TO_SPEECH):
            peer = talk(dialect)
            reply(peer, over=False)
            peer.session.say_out_of_band("k1", "Say exactly: hello", alone=True)
            assert peer.hears() == []
            peer.says("response.done", response={"id": "resp_1", "status": "completed"})
            assert said(peer.hears()) == [("response", "none")]

    def test_run_beside_the_others_where_that_is_possible(self, talk: Any) -> None:
        for dialect in (OPENAI, UNKNOWN):
            peer = talk(dialect)
            reply(peer, over=False)
            peer.session.say_out_of_band("k1", "Say exactly: hello", alone=True)
            assert said(peer.hears()) == [("response", "none")]

    def test_wait_for_the_caller_too(self, talk: Any) -> None:
        peer = talk(SPEECH_TO_SPEECH)
        peer.says("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        peer.session.say_out_of_band("k1", "Say exactly: hello", alone=True)
        peer.says("input_audio_buffer.speech_stopped", audio_end_ms=1, item_id="item_u")
        peer.says("input_audio_buffer.committed", item_id="item_u")
        assert peer.hears() == []
        peer.starts_response()
        peer.ends_response()
        assert said(peer.hears()) == [("response", "none")]

    @pytest.mark.parametrize("names_it", [True, False])
    def test_one_that_met_another_response_is_told_and_asked_for_again(
        self, talk: Any, caplog: pytest.LogCaptureFixture, names_it: bool
    ) -> None:
        peer = talk()
        reply(peer, over=False)
        peer.session.say_out_of_band("k1", "Say exactly: hello", alone=True)
        [create] = peer.hears()
        # speech-to-speech has the code in the type.
        error = {"type": RACED, "code": None, "event_id": create["event_id"] if names_it else None}
        assert peer.says("error", error=error) == [ev.RequestRefused(RACED, "")]
        assert found(caplog) == ["parallel"]
        assert peer.hears() == []
        peer.says("response.done", response={"id": "resp_1", "status": "completed"})
        deadline = peer.session.next_deadline()
        assert deadline == AGAIN_S
        peer.session.tick(deadline)
        assert said(peer.hears()) == [("response", "none")]

    def test_is_given_up_after_a_few_tries(self, talk: Any) -> None:
        peer = talk(OPENAI)
        peer.session.say_out_of_band("k1", "Say exactly: hello", alone=True)
        for _ in range(TRIES):
            [create] = peer.hears()
            events = peer.objects(RACED, event_id=create["event_id"])
            peer.now += AGAIN_S
            peer.session.tick(peer.now)
        assert events == [ev.RequestRefused(RACED, "no"), ev.OutOfBandEnded("k1", b"", "", ev.Usage())]
        assert peer.hears() == []
        assert peer.session.next_deadline() is None

    def test_one_that_gave_way_to_the_caller_is_asked_for_again(self, talk: Any) -> None:
        peer = talk(LOCALAI)
        peer.session.say_out_of_band("k1", "Say exactly: hello", alone=True)
        peer.hears()
        peer.says("response.created", response={"id": "r", "conversation_id": None, "metadata": {"ariagent": "k1"}})
        peer.starts_response("resp_u")
        used = {"output_token_details": {"audio_tokens": 3}}
        assert peer.says("response.done", response={"id": "r", "status": "cancelled", "usage": used}) == []
        peer.ends_response("resp_u")
        assert peer.hears() == []
        peer.session.tick(AGAIN_S)
        assert said(peer.hears()) == [("response", "none")]
        peer.says("response.created", response={"id": "r2", "conversation_id": None, "metadata": {"ariagent": "k1"}})
        [ended] = peer.says("response.done", response={"id": "r2", "status": "completed", "usage": used})
        assert ended.usage.output_audio == 6

    def test_nothing_is_due_while_it_has_to_wait(self, talk: Any) -> None:
        """A deadline that cannot be met would keep the event loop busy."""
        peer = talk(SPEECH_TO_SPEECH, create_response=False)
        reply(peer, over=False)
        peer.session.say_out_of_band("k1", "Say exactly: hello", alone=True)
        deadline = peer.session.next_deadline()
        assert deadline is None or deadline > peer.now


@pytest.mark.parametrize("as_error", [True, False])
def test_a_response_that_is_refused_for_an_open_call_is_noticed(
    talk: Any, caplog: pytest.LogCaptureFixture, as_error: bool
) -> None:
    peer = talk()
    peer.session.request_response(0.0)
    [create] = peer.hears()
    if as_error:
        peer.objects("function_call_output_pending", event_id=create["event_id"])
    else:
        peer.starts_response()
        error = {"type": "function_call_output_pending"}
        peer.says("response.done", response={"id": "resp_1", "status": "failed", "status_details": {"error": error}})
    assert found(caplog) == ["open_calls"]


def test_g711_that_was_found_out_to_be_none_is_refused(make_peer: Any) -> None:
    shared = Understanding(UNKNOWN)
    shared.found("g711", "325 ms a letter")
    for encoding, refused in (("pcmu", True), ("pcm", False)):
        peer = make_peer(encoding=encoding)
        peer.session = RealtimeSession(peer.session.profile, shared)
        peer.says("session.created", session={"id": "s"})
        [event] = peer.says("session.updated", session=peer.acknowledged())
        assert isinstance(event, ev.SessionFailed) is refused


def test_a_profile_is_one_of_its_server() -> None:
    assert SessionProfile.of(AgentSettings(), RealtimeSettings()).own_names


async def test_a_truncation_without_an_answer_over_a_real_connection() -> None:
    async with foreign(truncates="ignored") as server:
        realtime = RealtimeSettings(url=server.url)
        understanding = Understanding.of(realtime)
        heard: asyncio.Queue[ev.Event] = asyncio.Queue()
        profile = SessionProfile.of(AgentSettings(turn_detection=ServerVad(create_response=False)), realtime)
        client = RealtimeClient(realtime, profile, heard.put_nowait, understanding)
        running = asyncio.ensure_future(client.run())
        now = asyncio.get_running_loop().time

        async def reply(words: str) -> str:
            """Returns the item."""
            client.session.request_response(now(), f"Say exactly: {words}")
            client.flush()
            item = ""
            while not isinstance(event := await heard.get(), ev.ResponseEnded):
                item = event.item_id if isinstance(event, ev.AudioArrived) else item
            return item

        try:
            async with asyncio.timeout(20):
                assert isinstance(await heard.get(), ev.SessionReady)
                item = await reply(WORDS)
                client.session.interrupt([Heard(item, 600.0)], now())
                client.flush()
                while understanding.now.truncates:
                    await reply("yes")  # the server is alive, and talks
                    await asyncio.sleep(0.25)
                while not any(event["type"] == "conversation.item.delete" for event in server.heard):
                    await asyncio.sleep(0.01)
        finally:
            await client.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    kinds = ("conversation.item.create", "conversation.item.delete")
    added, deleted = (event for event in server.heard if event["type"] in kinds)
    assert added["item"]["content"][0]["text"].startswith("one two")
    assert added["previous_item_id"] == deleted["item_id"] == item
