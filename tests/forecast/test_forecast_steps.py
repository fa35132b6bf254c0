"""Steps of the forecast networks so small that they also run uncompiled: one training step, and one forecast."""

import numpy as np
import pytest
from forecast_problem import drawn, loss_and_gradient, plan_of, source_for, start_of
from test_forecast_windows import assert_is_naive, one_of, reading_of
from test_head import forward_and_back, naive_forward
from test_head import problem as head_problem

from bptt.forecast.fitting.training import predict_windows
from bptt.forecast.network.batches import CHANGE, DRIFT, LAST, MEAN, SEASONAL
from bptt.forecast.network.step import STRATEGIES
from bptt.network.loss_kernels import MSE

SMALL = {"n": 3, "input_size": 4, "hidden_size": 3, "num_layers": 1}


def test_gather():
    reading = reading_of(kinds=[LAST, MEAN, SEASONAL, CHANGE, DRIFT], periods=[0, 0, 2, 3, 0], lags=[2, 3])
    y = [3.0, np.nan, 1, 4, 1, 5, np.nan, 9, 2, 6]
    assert_is_naive([one_of(y), one_of(y[::-1], stop=8)], reading, [0, 1, 1, 0], [4, 1, 7, 10])


def test_head():
    sizes = (2, 3, 2, 1, 2)
    parts, taus = head_problem(sizes, 4)
    f, *_ = forward_and_back(sizes, parts, taus, MSE, 1.0)
    np.testing.assert_allclose(f.reshape(2, 4, 3), naive_forward(parts[0], parts[1], 2, 1, 3), rtol=1e-12)


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "lstm"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_goes_down_the_loss(strategy, cell):
    """The gradient in its own direction against differences."""
    plan = plan_of(strategy, cell, **SMALL)
    theta = start_of(plan)
    _, grad = loss_and_gradient(plan, theta, B=3)
    direction, eps = grad / np.linalg.norm(grad), 1e-6
    up, down = (loss_and_gradient(plan, theta + sign * eps * direction, B=3)[0] for sign in (1, -1))
    assert grad @ direction == pytest.approx((up - down) / (2 * eps), rel=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_dropout_a_training_step_and_a_forecast_have_the_same_loss(strategy):
    plan = plan_of(strategy, "gru", dropout=0.0, told=0.0, **SMALL)
    theta = start_of(plan)
    loss, _ = loss_and_gradient(plan, theta, B=4)
    z, _, _, again = predict_windows(plan, source_for(plan), theta, *drawn(plan, B=4))
    assert loss == pytest.approx(again, rel=1e-12)
    assert z.shape == (4, 3, 4)
    assert np.isfinite(z).all()
    ordered = z[:, :, np.argsort(plan.taus)]
    assert (np.diff(ordered, axis=2) > 0).all()
