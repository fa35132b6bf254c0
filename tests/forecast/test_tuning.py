"""`tune`: a real search with Optuna over a model whose best argument is known."""

import numpy as np
import pandas as pd
import pytest

from bptt.forecast import GRU, Forecaster, Pretrained, accuracy, tune

pytest.importorskip("optuna")


def weekly(n=80):
    """Values that repeat every 5 days, not every 7."""
    y = np.tile([10.0, 20.0, 5.0, 40.0, 12.0], n // 5) + np.random.default_rng(0).normal(0, 0.1, n)
    return pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=n, freq="D"), "y": y})


def test_the_season_is_found():
    found = tune(weekly(), {"seasonality": [3, 4, 5, 7]}, 120, h=5, freq="D", model=Pretrained, n_trials=12)
    assert found.params == {"seasonality": 5}
    assert found.score == found.trials["score"].min()
    assert found.score < found.naive_score
    assert found.model.get_params()["seasonality"] == 5
    again = Forecaster([found.model], "D").cross_validation(weekly(), n_windows=1, step_size=5)
    assert accuracy(again, weekly(), "D")["mase"][0] == pytest.approx(found.score)


def test_the_same_seed_makes_the_same_trials():
    space = {"hidden_size": (2, 6), "learning_rate": (1e-3, 1e-1, "log"), "max_steps": [2], "anchors": [["last"], [7]]}
    one, other = (tune(weekly(), space, 120, h=5, freq="D", n_trials=4, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one.trials.drop(columns="seconds"), other.trials.drop(columns="seconds"))
    assert set(one.params) == set(space)


def test_trials_side_by_side_and_a_function():
    def space(trial):
        return {"hidden_size": trial.suggest_int("units", 2, 4), "max_steps": 2}

    found = tune(weekly(), space, 120, h=5, freq="D", n_trials=4, n_jobs=2)
    assert len(found.trials) == 4
    assert set(found.params) == {"hidden_size", "max_steps"}


def test_the_budget_ends_the_search():
    found = tune(weekly(), {"max_steps": [1], "hidden_size": [2]}, 0.2, h=5, freq="D")
    assert found.trials["seconds"].iloc[:-1].sum() <= 0.2


@pytest.mark.parametrize("values", [[], (3, 1), (1, 2, 3), ("a", "b"), "abc", 7])
def test_spaces_are_checked(values):
    with pytest.raises(ValueError, match="space: 'hidden_size' must be a list of values"):
        tune(weekly(), {"hidden_size": values}, 1, h=5, freq="D")


def test_a_space_is_a_dict_or_a_function():
    with pytest.raises(TypeError, match="space must be a dict of arguments, or a function of a trial; got 3"):
        tune(weekly(), 3, 1, h=5, freq="D")


def test_arguments_are_the_models_own():
    with pytest.raises(TypeError, match="hiddensize"):
        tune(weekly(), {"hiddensize": [3]}, 10, h=5, freq="D", model=GRU)
