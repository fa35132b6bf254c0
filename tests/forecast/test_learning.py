"""What decides a training besides its loss: learning rate, weight decay, gradient norm, chosen anchors, validation."""

import numpy as np
import pytest
from made_panels import DAILY, panel_of

from bptt.forecast import GRU
from bptt.forecast.network.architecture import initial
from bptt.forecast.network.batches import AVERAGE, CHANGE, DRIFT, LAST, MEAN, SEASONAL
from bptt.forecast.network.step import STRATEGIES

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
RATE = 1e-6


def trained(strategy="segment", all_series=((1.0, 2.0),), **arguments):
    """On one window, steps so small that its gradient stays what it was."""
    tiny = {"h": 1, "input_size": 4, "seasonality": 1, "hidden_size": 4, "batch_size": 8, "dropout": 0.0,
            "anchors": ["last"], "learning_rate": RATE, "dtype": "float64", "transform": "none",
            "scaler_type": "identity", "max_steps": 10}  # fmt: skip
    model = GRU(strategy=strategy, **tiny | arguments)
    model.fit(panel_of([np.array(y) for y in all_series]), freq=DAILY)
    return model


def moved(model):
    """The weights at the beginning, and how far each has come."""
    plan = model._plan
    assert plan is not None
    start = np.concatenate([view.ravel() for view in initial(plan).values()])
    return start, model.networks[0].theta - start


@every_strategy
def test_the_learning_rate_falls_along_a_cosine(strategy):
    """Adam's step on a gradient that stays the same is the learning rate; ten of them sum up to 5.5."""
    _, steps = moved(trained(strategy))
    expected = sum(0.5 * (1 + np.cos(np.pi * k / 10)) for k in range(10))
    # The gradients of the head stay; those of the other weights follow the head's, which begin at 0.
    assert np.abs(steps).max() / RATE == pytest.approx(expected, rel=0.02)


@every_strategy
def test_weight_decay_pulls_each_weight_to_zero(strategy):
    start, steps = moved(trained(strategy, weight_decay=1e6))
    inside = start != 0
    assert (np.sign(steps[inside]) == -np.sign(start[inside])).all()
    _, free = moved(trained(strategy))
    assert (np.sign(free[inside]) == np.sign(start[inside])).any()


@every_strategy
def test_the_gradient_s_norm_is_limited(strategy):
    """Adam's first moment is a tenth of the first gradient."""
    free, limited = (trained(strategy, max_steps=1, clip_norm=limit).networks[0].m for limit in (1e9, 1e-3))
    assert np.linalg.norm(free) > 1e-2
    assert np.linalg.norm(limited) == pytest.approx(1e-4, rel=1e-2)
    np.testing.assert_allclose(limited / np.linalg.norm(limited), free / np.linalg.norm(free), atol=1e-9)


def kept(y, seasonality, **arguments):
    model = trained(
        all_series=[y], anchors="auto", seasonality=seasonality, h=4, input_size=24, max_steps=1, **arguments
    )
    assert model._plan is not None
    return set(zip(model._plan.kinds, model._plan.periods, strict=True))


def test_anchors_that_are_far_from_the_best_are_left_out():
    rng = np.random.default_rng(0)
    t = np.arange(200.0)
    season = 10 * rng.standard_normal(6)[np.arange(200) % 6]
    assert kept(season + 0.1 * rng.standard_normal(200), 6) == {(SEASONAL, 6), (AVERAGE, 6)}
    assert (DRIFT, 0) in kept(t + 0.1 * rng.standard_normal(200), 1)
    assert not kept(t + 0.1 * rng.standard_normal(200), 1) & {(LAST, 0), (MEAN, 0)}
    walk = kept(np.cumsum(rng.standard_normal(200)), 1)
    assert (LAST, 0) in walk
    assert (MEAN, 0) not in walk
    assert (MEAN, 0) in kept(rng.standard_normal(200), 1)
    assert not any(kind == CHANGE for kind, _ in walk)


@pytest.mark.parametrize(("strategy", "checks"), [("segment", 1), ("direct", 2)])
def test_patience_counts_validations_without_a_better_one(strategy, checks):
    """Nothing gets better where the steps are nothing: the first validation, then as many as the patience says."""
    rng = np.random.default_rng(1)
    noise = [rng.standard_normal(30)]
    panel = panel_of(noise)
    model = GRU(
        h=2, strategy=strategy, seasonality=1, hidden_size=4, batch_size=4, max_steps=100, learning_rate=1e-300,
        val_check_steps=7, early_stop_patience_steps=checks,
    )  # fmt: skip
    model.fit(panel, freq=DAILY, val_size=4)
    assert model.networks[0].steps == 7 * (1 + checks)
