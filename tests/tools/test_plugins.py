"""Python tools, through real entry points of a package on the path."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from ariagent.errors import ConfigurationError
from ariagent.tools import plugins

Install = Callable[..., None]

GOOD = """
    class Weather:
        name = "weather"
        description = "Says what the weather is."
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

        async def __call__(self, arguments, facts):
            return {"city": arguments["city"], "caller": facts.caller_number}

    weather = Weather()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install(code, entry_point="name = module:object")``: a package with that module and entry point."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(code: str, *points: str, module: str = "site_tools") -> None:
        (tmp_path / f"{module}.py").write_text(dedent(code))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[ariagent.tools]\n" + "\n".join(points) + "\n")

    yield put
    for name in set(sys.modules) - before:
        del sys.modules[name]


class TestLoading:
    @pytest.mark.parametrize("value", ["site_tools:weather", "site_tools:Weather"])
    def test_an_object_or_a_class(self, install: Install, value: str) -> None:
        install(GOOD, f"weather = {value}")
        tool = plugins.load(plugins.installed(["weather"])["weather"])
        assert isinstance(tool, plugins.Tool)
        assert (tool.name, plugins.timeout_of(tool), plugins.waiting_prompt_of(tool)) == ("weather", 10.0, "tone")
        assert not plugins.safe_to_repeat(tool)

    def test_an_async_function_with_attributes(self, install: Install) -> None:
        install(
            """
            async def hours(arguments, facts):
                return "9 to 5"

            hours.name, hours.description = "hours", "Says when we are open."
            hours.parameters = {"type": "object"}
            hours.timeout_s, hours.waiting_prompt = 2, None
            """,
            "hours = site_tools:hours",
        )
        tool = plugins.load(plugins.installed(["hours"])["hours"])
        assert (plugins.timeout_of(tool), plugins.waiting_prompt_of(tool)) == (2.0, None)

    def test_nothing_is_loaded_by_looking(self, install: Install) -> None:
        install("raise SystemExit('loaded')", "weather = site_tools:weather")
        assert "weather" in plugins.installed(["weather"])
        assert "site_tools" not in sys.modules

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (("weather = Weather()", ""), "AttributeError"),
            (("class Weather", "1 / 0\n    class Weather"), "ZeroDivisionError"),
            (("class Weather", "import sys; sys.exit(3)\n    class Weather"), "SystemExit"),
            (("class Weather", "import no_such_module\n    class Weather"), "no_such_module"),
            (("async def", "def"), "async def __call__"),
            (('name = "weather"', 'name = "wether"'), "'wether'"),
            (('name = "weather"', "pass"), "it must be the entry point's"),
            (('description = "Says what the weather is."', "description = ''"), "must have a description"),
            (('description = "Says what the weather is."', "description = 'x' * 1025"), "1024 characters"),
            (("parameters = ", "parameters = 3, "), "JSON Schema"),
            (('"type": "object"', '"type": "objekt"'), "type object"),
            (('"type": "string"', '"type": "text"'), "'text'"),
            (("class Weather:", "class Weather:\n        timeout_s = 0"), "timeout_s"),
            (("class Weather:", "class Weather:\n        waiting_prompt = ''"), "a waiting_prompt that is neither"),
            (("class Weather:", "class Weather:\n        safe_to_repeat = 'yes'"), "safe_to_repeat that is neither"),
            (("class Weather:", "class Weather:\n        sign = 'tone'"), "is called waiting_prompt now"),
            (("class Weather:", "class Weather:\n        bound = 3"), "bound values"),
            (("class Weather:", "class Weather:\n        bound = {'city': '{caller.number}'}"), "remove one"),
            (("class Weather:", "class Weather:\n        bound = {'a': '{caller.numer}'}"), "mean caller.number"),
            (("class Weather:", "class Weather:\n        bound = {'a.b': 'x'}"), "has a dot"),
            (('{"city": {', '{"caller.number": {}, "city": {'), "must not choose"),
        ],
    )
    def test_broken_ones_are_named(self, install: Install, change: tuple[str, str], words: str) -> None:
        code = GOOD.replace(*change)
        assert code != GOOD
        install(code, "weather = site_tools:weather")
        with pytest.raises(ConfigurationError) as caught:
            plugins.load(plugins.installed(["weather"])["weather"])
        assert "weather = site_tools:weather" in str(caught.value)
        assert "site-tools" in str(caught.value)
        assert words in str(caught.value)
        assert caught.value.remedy
