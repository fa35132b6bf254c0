"""Which steps TBPTT(k1, k2) looks at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.unroll.truncation import TBPTT


@given(k1=st.integers(1, 9), more=st.integers(0, 12), steps=st.integers(0, 60))
def test_every_step_is_new_once_and_the_error_goes_back_k2(k1, more, steps):
    k2 = k1 + more
    windows = list(TBPTT(k1, k2).windows(steps))
    new = [t for window in windows for t in range(window.start, window.stop)]
    assert new == list(range(steps // k1 * k1))
    for window in windows:
        assert window.stop - window.start == k1
        assert window.stop - window.back_to == min(k2, window.stop)


def test_one_number_is_both():
    assert TBPTT(4).depth == TBPTT(4, 4).depth == 4
    assert list(TBPTT(4).windows(9)) == [(0, 0, 4), (4, 4, 8)]


@pytest.mark.parametrize("window", [7, (7, 7), [7, 7], TBPTT(7), TBPTT(7, 7)])
def test_what_users_pass(window):
    assert TBPTT.from_argument(window) == TBPTT(7, 7)


@pytest.mark.parametrize(
    ("window", "kind", "words"),
    [
        ((4, 2), ValueError, "k2 must be at least k1.*k1=4, k2=2"),
        ((0, 2), ValueError, "k1 .*at least 1.*0"),
        (0, ValueError, "window .*at least 1.*0"),
        (-3, ValueError, "window .*-3"),
        ((1, 2, 3), ValueError, r"window .*pair \(k1, k2\).*\(1, 2, 3\)"),
        (2.5, TypeError, "window .*2.5"),
        ((2, 2.5), TypeError, "k2 .*2.5"),
        ("64", TypeError, "window .*'64'"),
    ],
)
def test_bad_windows(window, kind, words):
    with pytest.raises(kind, match=words):
        TBPTT.from_argument(window)
