"""One short series: never much worse than the best naive forecast, and intervals that know how little is known."""

import json
import warnings

import numpy as np
import pytest
from made_panels import DAILY, forecast, panel_of

from bptt.forecast import GRU, few
from bptt.forecast.network import STRATEGIES

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def fitted(y, h=4, strategy="segment", **arguments):
    small = {"seasonality": 1, "hidden_size": 8, "batch_size": 16, "learning_rate": 1e-2}
    model = GRU(h=h, strategy=strategy, **small | arguments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(panel_of([np.asarray(y)]), freq=DAILY)
    return model, [str(one.message) for one in caught]


@pytest.mark.parametrize("y", [[1.0, 2.0], [3.0] * 9, np.zeros(12), [5.0, np.nan, 4.0]])
@every_strategy
def test_series_of_next_to_nothing(strategy, y):
    model, _ = fitted(y, strategy=strategy)
    point, quantiles = forecast(model, [np.asarray(y)])
    assert np.isfinite(quantiles).all()
    assert np.abs(point - np.nanmean(y)).max() <= 3


def test_the_offsets_are_kept_in_a_file_and_checked():
    y = 100 + np.cumsum(np.random.default_rng(1).standard_normal(5))
    model, _ = fitted(y)
    tensors, settings = model.tensors(), json.loads(json.dumps(model.settings))
    again = GRU.from_settings(settings, tensors, panel_of([y]), DAILY)
    for one, other in zip(forecast(model, [y]), forecast(again, [y]), strict=True):
        np.testing.assert_array_equal(one, other)
    for wrong in (tensors["offsets"][:, 1:], np.full_like(tensors["offsets"], np.nan)):
        with pytest.raises(ValueError, match="offsets"):
            GRU.from_settings(settings, tensors | {"offsets": wrong}, panel_of([y]), DAILY)


def test_steps_and_validation_that_a_user_chose_are_done():
    y = 100 + np.cumsum(np.random.default_rng(1).standard_normal(60))
    model, said = fitted(y, max_steps=7)
    assert model.history[0].steps == 7
    assert not said
    assert "offsets" not in model.tensors()


def test_held_out_windows_are_the_newest_ones():
    series, ends = few.late_windows(np.array([10, 3]), np.array([6, 3]))
    assert series.tolist() == [0, 0, 0, 0]
    assert ends.tolist() == [6, 7, 8, 9]
    series, ends = few.late_windows(np.array([2000]), np.array([100]))
    assert ends[-1] == 1999
    assert len(ends) <= few.LOOKED_AT
    assert len(set(np.diff(ends))) == 1


def test_offsets_of_noise_are_its_quantiles():
    model, _ = fitted(np.random.default_rng(0).standard_normal(60), quantiles=[0.1, 0.9], transform="none", max_steps=1)
    plan = model._plan
    assert plan is not None
    missed = np.random.default_rng(1).standard_normal((4000, plan.n)) * np.arange(1, plan.n + 1)
    offsets = few.offsets_of(plan, missed, np.ones_like(missed), None)
    assert plan.taus == (0.5, 0.9, 0.1)
    np.testing.assert_allclose(offsets[:, 1], 1.2816 * np.arange(1, plan.n + 1), rtol=0.1)
    np.testing.assert_allclose(offsets[:, 2], -1.2816 * np.arange(1, plan.n + 1), rtol=0.1)
    np.testing.assert_allclose(few.offsets_of(plan, missed + 50, np.ones_like(missed), 0.5)[:, 0], 0)
    # Past the horizon, as the square root of the steps.
    np.testing.assert_allclose(few.extended(offsets, 4 * plan.n)[-1], 2 * offsets[-1])
