"""Every parameter's gradient, through the whole step, against differences of the loss in float64."""

import numpy as np
import pytest
from forecast_problem import loss_and_gradient, plan_of, start_of

from bptt.forecast.network.step import STRATEGIES
from bptt.network.loss_kernels import HUBER
from bptt.network.parameters import views

CELLS = ("rnn_tanh", "gru", "lstm")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradient_is_that_of_differences(strategy, cell):
    plan = plan_of(strategy, cell)
    theta = start_of(plan)
    _, grad = loss_and_gradient(plan, theta)
    rng = np.random.default_rng(0)
    eps = 1e-6
    for name, part in views(np.arange(theta.size), plan.shapes).items():
        gradient = grad[part.ravel()]
        assert np.abs(gradient).max() > 1e-7, f"{name}: a gradient of 0 would pass any test of differences"
        for index in rng.choice(part.ravel(), min(6, part.size), replace=False):
            up, down = theta.copy(), theta.copy()
            up[index] += eps
            down[index] -= eps
            slope = (loss_and_gradient(plan, up)[0] - loss_and_gradient(plan, down)[0]) / (2 * eps)
            assert grad[index] == pytest.approx(slope, rel=1e-5, abs=1e-5 * np.abs(gradient).max()), name


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "changes",
    [
        {"kinds": (), "periods": ()},
        {"futr": 0, "hist": 0, "static": 0, "lags": (), "num_layers": 1},
        {"taus": (0.5,), "dropout": 0.0},
        {"loss": HUBER, "parameter": 0.3, "n": 1},
    ],
    ids=["no anchors", "y alone", "point only", "huber, one step"],
)
def test_gradient_in_a_random_direction(strategy, changes):
    plan = plan_of(strategy, "gru", **changes)
    theta = start_of(plan)
    _, grad = loss_and_gradient(plan, theta)
    direction = np.random.default_rng(1).standard_normal(theta.size)
    eps = 1e-6
    slope = loss_and_gradient(plan, theta + eps * direction)[0] - loss_and_gradient(plan, theta - eps * direction)[0]
    assert grad @ direction == pytest.approx(slope / (2 * eps), rel=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_number_of_threads_gives_the_same_bits(strategy):
    plan = plan_of(strategy, "lstm", dtype="float32")
    theta = start_of(plan).astype("float32")
    one = loss_and_gradient(plan, theta, B=19, threads=1)
    for threads in (2, 3, 5):
        more = loss_and_gradient(plan, theta, B=19, threads=threads)
        assert more[0] == one[0]
        np.testing.assert_array_equal(more[1], one[1])
