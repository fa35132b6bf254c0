"""How many members: a machine that is imagined, where each size of a team has a rate, and which sizes are chosen."""

from collections import Counter

import pytest

from bptt.numerics.pace import LATEST, Pace, sizes_below

pytestmark = pytest.mark.interpreted


def shares(pace, rates, seconds, now=0.0, work=0.002):
    """Run calls of this much work for so many seconds; the share of the time in teams of each size."""
    spent, end = Counter(), now + seconds
    while now < end:
        size = pace.size
        passed = work / rates[size]
        now += passed
        pace.note(size, work, passed, now)
        spent[size] += passed
    return {size: time / seconds for size, time in spent.items()}, now


def test_sizes_go_down_by_one_core_and_then_by_halves():
    assert [sizes_below(n) for n in (1, 2, 3, 8)] == [(1,), (2, 1), (3, 2, 1), (8, 7, 4, 2, 1)]


def test_with_every_core_there_the_team_stays_whole():
    spent, _ = shares(Pace(2), {2: 1.6, 1: 1.0}, 20)
    assert spent == {2: pytest.approx(1, abs=0.01)}


def test_one_member_while_a_core_is_taken_and_two_when_it_is_back():
    pace = Pace(2)
    spent, now = shares(pace, {2: 0.5, 1: 1.0}, 20)
    assert spent[1] > 0.9
    _, now = shares(pace, {2: 1.9, 1: 1.0}, LATEST + 1, now)
    spent, _ = shares(pace, {2: 1.9, 1: 1.0}, 10, now)
    assert spent == {2: pytest.approx(1, abs=0.01)}


def test_beside_many_others_two_members_get_two_shares():
    """Both rates are below one core, and the larger team's is the better one."""
    spent, _ = shares(Pace(2), {2: 0.4, 1: 0.27}, 20)
    assert spent[2] > 0.9


def test_of_eight_cores_one_is_taken():
    rates = {8: 4.0, 7: 6.8, 4: 4.0, 2: 2.0, 1: 1.0}
    spent, _ = shares(Pace(8), rates, 20)
    assert spent[7] > 0.9


def test_long_calls_are_judged_one_by_one():
    spent, _ = shares(Pace(2), {2: 0.5, 1: 1.0}, 60, work=0.3)
    assert spent[1] > 0.8


def test_a_team_of_another_size_does_not_count():
    """Another call had the team, so that this one ran alone."""
    pace = Pace(2)
    for k in range(1000):
        pace.note(1, 0.01, 0.1, k * 0.1)
    assert pace.size == 2
