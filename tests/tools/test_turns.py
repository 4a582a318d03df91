"""The tool whose turn it is."""

from ariagent.tools.turns import MOST_WAITING, OVERALL, PER_CALL, Turn, Turns


def ask(turns: Turns, call: str, place: str = "a") -> Turn:
    turn = turns.ask(call, place)
    assert turn is not None
    return turn


def let_in(turns: Turns) -> list[str]:
    found = []
    while (turn := turns.next()) is not None:
        found.append(turn.call)
    return found


def test_a_call_has_four_at_once() -> None:
    turns = Turns(32)
    asked = [ask(turns, "1") for _ in range(6)]
    assert let_in(turns) == ["1"] * PER_CALL
    turns.leave(asked[0])
    assert let_in(turns) == ["1"]


def test_the_other_servers_of_a_call_count_too() -> None:
    turns = Turns(32)
    for number in range(6):
        ask(turns, "1", f"host{number}")
    assert let_in(turns) == ["1"] * PER_CALL


def test_no_more_than_so_many_wait() -> None:
    turns = Turns(32)
    for _ in range(MOST_WAITING):
        ask(turns, "1")
    assert turns.ask("1", "a") is None
    assert turns.ask("2", "a") is not None


def test_a_server_gets_so_many_at_once() -> None:
    turns = Turns(2)
    asked = [ask(turns, str(number)) for number in range(3)]
    ask(turns, "3", "b")
    assert let_in(turns) == ["0", "1", "3"]
    turns.leave(asked[1])
    assert let_in(turns) == ["2"]


def test_the_call_that_runs_the_fewest_is_next() -> None:
    turns = Turns(3)
    for _ in range(4):
        ask(turns, "greedy")
    first = turns.next()
    assert first is not None
    ask(turns, "other")
    assert let_in(turns) == ["other", "greedy"]
    turns.leave(first)
    ask(turns, "third")
    assert let_in(turns) == ["third"]


def test_there_are_so_many_in_all() -> None:
    turns = Turns(1000)
    for number in range(OVERALL + 1):
        ask(turns, str(number), str(number))
    assert len(let_in(turns)) == OVERALL


def test_who_gives_up_waiting_is_forgotten() -> None:
    turns = Turns(1)
    first, second, _ = (ask(turns, str(number)) for number in range(3))
    assert let_in(turns) == ["0"]
    turns.leave(second)
    turns.leave(first)
    assert let_in(turns) == ["2"]
    assert turns.waiting == []
