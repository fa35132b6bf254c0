"""Schedules against PyTorch's closed formula, and their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.training.schedules import ReduceOnPlateau, constant, cosine, schedule_from_name


def test_cosine_is_the_annealing_formula() -> None:
    expected = [2e-3 * (1 + math.cos(math.pi * n / 7350)) / 2 for n in range(7350)]
    np.testing.assert_allclose(cosine(2e-3, 7350), expected, rtol=1e-12)


@given(steps=st.integers(1, 300), warmup=st.integers(0, 299))
def test_warmup_rises_linearly_to_the_full_rate(steps: int, warmup: int) -> None:
    for schedule in (constant, cosine):
        if warmup >= steps:
            with pytest.raises(ValueError, match="warmup"):
                schedule(0.1, steps, warmup)
            continue
        rates = schedule(0.1, steps, warmup)
        assert rates.shape == (steps,)
        assert rates.dtype == np.float64
        np.testing.assert_allclose(rates[:warmup], [0.1 * (n + 1) / warmup for n in range(warmup)])
        assert rates[warmup] == 0.1
        assert (np.diff(rates[warmup:]) <= 0).all()
        assert rates[-1] > 0


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_teaches_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="learning_rate"):
        constant(rate, 10)


def test_plateau_waits_then_reduces_and_starts_afresh() -> None:
    plateau = ReduceOnPlateau(factor=0.1, patience=2, threshold=0.01)
    losses = [3.0, 2.0, 1.995, 2.5, 2.1, 2.2, 1.0]
    assert [plateau.observe(loss) for loss in losses] == [1.0, 1.0, 1.0, 1.0, 0.1, 1.0, 1.0]
    assert plateau(0.5, 3).tolist() == [0.5, 0.5, 0.5]
    assert plateau.observe(9.0) == 1.0  # the best of an earlier run is forgotten


@pytest.mark.parametrize("wrong", [{"factor": 1.0}, {"factor": 0.0}, {"patience": -1}, {"threshold": -0.1}])
def test_plateau_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ReduceOnPlateau(**wrong)  # type: ignore[arg-type]


def test_names() -> None:
    assert schedule_from_name("cosine") is cosine
    assert schedule_from_name("plateau") is not schedule_from_name("plateau")  # each run has its own memory
    with pytest.raises(ValueError, match="schedule must be one of 'constant', 'cosine', 'plateau'; got 'step'"):
        schedule_from_name("step")
