"""The choice of the agent that takes a call."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.agents.choose import ArrivalFacts, choose, matches, needed_variables
from ariagent.config import Settings
from ariagent.errors import UnknownAgentError


def site(*routes: dict[str, Any], agents: tuple[str, ...] = ("default", "sales", "night")) -> Settings:
    return Settings.model_validate({"agents": {name: {} for name in agents}, "routes": list(routes)})


ROUTE = {"agent": "night", "extension": "7001"}


class TestOrder:
    def test_the_dialplans_word_comes_first(self) -> None:
        facts = ArrivalFacts("sales", {"ARIAGENT_AGENT": "default"}, extension="7001")
        assert choose(site(ROUTE), facts) == "sales"

    def test_then_the_variable(self) -> None:
        assert choose(site(ROUTE), ArrivalFacts(None, {"ARIAGENT_AGENT": "sales"}, extension="7001")) == "sales"

    def test_then_the_first_route_that_fits(self) -> None:
        settings = site({"agent": "sales", "extension": "7*"}, ROUTE)
        assert choose(settings, ArrivalFacts(extension="7001")) == "sales"

    def test_then_default(self) -> None:
        assert choose(site(ROUTE), ArrivalFacts(extension="7002")) == "default"

    def test_then_the_only_one(self) -> None:
        assert choose(site(agents=("front",)), ArrivalFacts()) == "front"

    def test_among_several_without_a_default_nobody_guesses(self) -> None:
        with pytest.raises(UnknownAgentError) as caught:
            choose(site(agents=("front", "back")), ArrivalFacts())
        assert caught.value.name == "default"

    def test_an_empty_word_is_none(self) -> None:
        assert choose(site(), ArrivalFacts("", {"ARIAGENT_AGENT": ""})) == "default"


class TestUnknownNames:
    @pytest.mark.parametrize("facts", [ArrivalFacts("gone"), ArrivalFacts(None, {"ARIAGENT_AGENT": "gone"})])
    def test_are_refused_and_not_replaced_by_another_agent(self, facts: ArrivalFacts) -> None:
        with pytest.raises(UnknownAgentError, match="there is no agent gone") as caught:
            choose(site(), facts)
        assert caught.value.name == "gone"
        assert caught.value.remedy

    def test_default_is_no_wish_where_there_is_no_such_agent(self) -> None:
        settings = site({"agent": "night", "queue": "q"}, agents=("sales", "night"))
        assert choose(settings, ArrivalFacts("default", queue="q")) == "night"


class TestRoutes:
    def test_everything_given_must_match(self) -> None:
        settings = site({"agent": "sales", "queue": "frontline", "dialled": "+49*", "variables": {"VIP": "yes"}})
        fits = ArrivalFacts(queue="frontline", dialled="+4930", variables={"VIP": "yes"})
        assert choose(settings, fits) == "sales"
        for other in (
            ArrivalFacts(queue="other", dialled="+4930", variables={"VIP": "yes"}),
            ArrivalFacts(queue="frontline", dialled="030", variables={"VIP": "yes"}),
            ArrivalFacts(queue="frontline", dialled="+4930", variables={}),
        ):
            assert choose(settings, other) == "default"

    def test_a_queues_name_is_the_same_in_other_letters(self) -> None:
        settings = site({"agent": "sales", "queue": "Front*"}, {"agent": "night", "extension": "Desk"})
        assert choose(settings, ArrivalFacts(queue="frontLINE")) == "sales"
        assert choose(settings, ArrivalFacts(extension="desk")) == "default"

    def test_one_without_conditions_takes_all(self) -> None:
        assert choose(site({"agent": "night"}), ArrivalFacts()) == "night"

    @pytest.mark.parametrize(
        ("pattern", "value", "fits"),
        [
            ("7001", "7001", True),
            ("7001", "70012", False),
            ("70*", "7001", True),
            ("*01", "7001", True),
            ("7*0*1", "7001", True),
            ("*", "anything", True),
            ("*", "", False),  # what is not known is not any text
            ("", "", True),
            ("", "x", False),
            ("+49.1", "+49.1", True),
            ("+49.1", "+49x1", False),
            ("7?01", "7001", False),
            ("[7]001", "7001", False),
            ("VIP", "vip", False),
            ("a*", "a\nb", True),
        ],
    )
    def test_only_the_star_is_special(self, pattern: str, value: str, fits: bool) -> None:
        assert matches(pattern, value) is fits

    @given(st.text(), st.text(min_size=1))
    def test_a_text_matches_itself_and_stars_around_it(self, pattern: str, value: str) -> None:
        assert matches(value.replace("*", "x"), value.replace("*", "x"))
        assert matches(f"*{value}*", f"a{value}b".replace("*", "x")) or "*" in value
        matches(pattern, value)  # never raises


class TestFacts:
    def test_come_from_the_shipped_dialplans_variables(self) -> None:
        variables = {"ARIAGENT_EXTENSION": "7000", "ARIAGENT_QUEUE": "frontline", "ARIAGENT_DIALLED": "4930"}
        facts = ArrivalFacts.of(None, variables)
        assert (facts.extension, facts.queue, facts.dialled) == ("7000", "frontline", "4930")

    def test_the_channels_own_extension_is_for_those_without(self) -> None:
        assert ArrivalFacts.of(None, {}, "7001").extension == "7001"
        assert ArrivalFacts.of(None, {"ARIAGENT_EXTENSION": "7000"}, "03").extension == "7000"


class TestVariables:
    def test_only_those_that_the_choice_needs(self) -> None:
        assert needed_variables(site()) == ("ARIAGENT_AGENT",)
        settings = site(
            {"agent": "sales", "queue": "q", "variables": {"VIP": "1"}}, {"agent": "night", "dialled": "0*"}
        )
        assert needed_variables(settings) == ("ARIAGENT_AGENT", "ARIAGENT_QUEUE", "VIP", "ARIAGENT_DIALLED")

    def test_are_names(self) -> None:
        assert all(re.fullmatch(r"[A-Z_]+", name) for name in needed_variables(site({"agent": "sales", "queue": "*"})))
