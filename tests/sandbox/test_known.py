"""The conversation that each response was made from: in the session's record, over HTTP and on the terminal."""

import asyncio
import sys
from typing import Any

import aiohttp
import pytest

TOOL = {"type": "function", "name": "look", "description": "", "parameters": {"type": "object"}}
LOOK = """
rules:
  - {name: looks, when: {said: look}, then: [{call: {name: look, arguments: {n: 1}}}]}
  - {name: found, when: {tool_result: look}, then: Found.}
otherwise: One two three four five.
"""


def cut(item_id: str, ms: int) -> dict[str, Any]:
    return {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": ms}


class Notebook:
    """Takes what a session core reports."""

    def __init__(self) -> None:
        self.conversations: list[dict[str, Any]] = []

    def note_received(self, event: dict[str, Any]) -> None: ...

    def note_append(self, data: bytes) -> None: ...

    def note_conversation(self, conversation: dict[str, Any]) -> None:
        self.conversations.append(conversation)

    def texts(self) -> list[str]:
        """The newest conversation."""
        return [item["text"] for item in self.conversations[-1]["items"]]


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


WORDS = "One two three four five."
LETTER_MS = 100


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (0, ""),
        (200, ""),
        (300, "One"),
        (600, "One"),
        (700, "One two"),
        (1340, "One two three"),
        (len(WORDS) * LETTER_MS, WORDS),
    ],
)
def test_of_a_truncated_item_only_the_heard_words_are_known(
    make_desk: Any, notebook: Notebook, ms: int, heard: str
) -> None:
    desk = make_desk(LOOK, observer=notebook)
    desk.speech_ms = LETTER_MS * len(WORDS)
    desk.say("x")
    desk.respond()
    desk.run()
    item_id = desk.done["output"][0]["id"]
    desk.respond()
    desk.run()
    assert notebook.texts() == ["x", WORDS]
    desk.send({"type": "conversation.item.delete", "item_id": desk.done["output"][0]["id"]})
    desk.send(cut(item_id, ms))
    desk.respond()
    desk.run()
    assert notebook.texts() == ["x", heard]
    assert notebook.conversations[-1]["items"][1]["truncated"]


def test_an_item_that_is_cut_while_it_is_generated_keeps_the_heard_words(make_desk: Any, notebook: Notebook) -> None:
    desk = make_desk(LOOK, observer=notebook, generation_speed=2.0)
    desk.speech_ms = LETTER_MS * len(WORDS)
    desk.say("x")
    desk.respond()
    desk.run(1.0)
    assert not desk.of("response.done")
    desk.send(cut(desk.last("response.output_item.added")["item"]["id"], 720))
    desk.send({"type": "response.cancel"})
    desk.say("y")
    desk.respond()
    desk.run()
    assert notebook.texts() == ["x", "One two", "y"]


def test_a_cut_twice_is_what_was_heard_until_the_earlier_one(make_desk: Any, notebook: Notebook) -> None:
    desk = make_desk(LOOK, observer=notebook)
    desk.speech_ms = LETTER_MS * len(WORDS)
    desk.say("x")
    desk.respond()
    desk.run()
    item_id = desk.done["output"][0]["id"]
    for ms in (1340, 300):
        desk.send(cut(item_id, ms))
    desk.respond()
    assert notebook.texts() == ["x", "One"]


def test_spoken_turns_tools_and_deleted_items(make_desk: Any, notebook: Notebook) -> None:
    desk = make_desk(LOOK, observer=notebook)
    desk.configure(tools=[TOOL], instructions="Be brief.")
    desk.hears = ["look"]
    desk.speak()
    desk.run()
    call = desk.done["output"][0]
    first = notebook.conversations[0]
    assert (first["response"], first["instructions"], first["rule"]) == (desk.done["id"], "Be brief.", "looks")
    assert [(item["role"], item["text"]) for item in first["items"]] == [("user", "look")]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "yes"}
    desk.send({"type": "conversation.item.create", "item": output})
    desk.send({"type": "conversation.item.delete", "item_id": first["items"][0]["id"]})
    desk.respond(metadata={"why": "tool"})
    desk.run()
    second = notebook.conversations[1]
    assert [item["type"] for item in second["items"]] == ["function_call", "function_call_output"]
    assert (second["items"][0]["arguments"], second["items"][1]["output"]) == ('{"n": 1}', "yes")
    assert (second["metadata"], second["rule"]) == ({"why": "tool"}, "found")


def test_a_response_out_of_band_is_made_from_its_own_input(make_desk: Any, notebook: Notebook) -> None:
    desk = make_desk(LOOK, observer=notebook)
    desk.say("x")
    desk.respond(conversation="none", input=[], instructions="Say exactly: Hello")
    desk.run()
    assert notebook.conversations[0]["items"] == []
    assert notebook.conversations[0]["conversation_id"] is None


async def test_over_http(make_place: Any) -> None:
    place = await make_place(LOOK)
    first, second = [await place.client() for _ in range(2)]
    for client in (first, second):
        await client.send({"type": "response.create"})
        await client.until("response.done")
    url = place.server.base_url.removesuffix("/v1") + "/sandbox/conversations"
    headers = {"Authorization": "Bearer x"}
    async with aiohttp.ClientSession() as http:
        async with http.get(url) as answer:
            assert answer.status == 401
        async with http.get(url, headers=headers) as answer:
            both = (await answer.json())["conversations"]
        wanted = second.of("response.done")[0]["response"]["id"]
        async with http.get(url, headers=headers, params={"response": wanted}) as answer:
            [one] = (await answer.json())["conversations"]
        async with http.get(url, headers=headers, params={"session": "none"}) as answer:
            assert await answer.json() == {"conversations": []}
    assert [conversation["rule"] for conversation in both] == ["opening", "opening"]
    assert one == both[1] == place.server.sessions[1].conversation_of(wanted)
    with pytest.raises(LookupError):
        place.server.sessions[0].conversation_of(wanted)


async def test_on_the_terminal(tmp_path: Any) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text(LOOK)
    words = ["-m", "ariagent.sandbox", "--print-conversations", "--voice", "tone", "--no-recogniser", "--no-prewarm"]
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, *words, "--detector", "none", "--scenario", str(scenario), "--think-ms", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert program.stdout is not None
    try:
        async with asyncio.timeout(60):
            url = (await program.stdout.readline()).decode().split()[-1]
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"{url}?model=gpt-realtime", protocols=()) as ws,
            ):
                assert (await ws.receive_json())["error"]["code"] == "invalid_api_key"
            headers = {"Authorization": "Bearer x"}
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"{url}?model=gpt-realtime", headers=headers) as ws,
            ):
                item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "look"}]}
                await ws.send_json({"type": "conversation.item.create", "item": item})
                await ws.send_json({"type": "response.create"})
                lines = [(await program.stdout.readline()).decode() for _ in range(3)]
        assert lines[0].startswith("conversation of resp_")
        assert lines[1:] == ["  user: look\n", "  answered by rule: otherwise\n"]
    finally:
        program.terminate()
        await program.wait()
