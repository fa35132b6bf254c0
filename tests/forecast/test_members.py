"""Members of an ensemble side by side: in order, and all ended where one is."""

import signal
import threading

import pytest

from bptt.forecast.fitting.ensemble import Members
from bptt.numerics.compiling import Abandoned


def test_results_come_in_order():
    entered = threading.Barrier(3, timeout=60)

    def member(k):
        entered.wait()
        return 10 * k

    assert Members().run(member, [2, 0, 1], threads=3) == [20, 0, 10]


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt])
def test_where_one_ends_all_end(ending):
    """The others work for ever; those that have not begun never do."""
    members, begun, ended = Members(), [], []

    def interrupt(*_):
        raise KeyboardInterrupt

    def member(k):
        begun.append(k)
        if k == 1:
            if ending is ValueError:
                raise ValueError("member 1")
            signal.raise_signal(signal.SIGINT)
        try:
            while True:
                members.check()
                threading.Event().wait(0.001)
        except Abandoned:
            ended.append(k)
            raise

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(ending):
            members.run(member, range(8), threads=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert set(ended) | {1} == set(begun)
