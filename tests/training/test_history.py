"""Histories as frames, and their picture."""

import numpy as np
import pandas as pd
import pytest

import bptt
from bptt.forecast import GRU, Forecaster, generate_series
from bptt.text import CharLM
from bptt.training import plot_history


def labels(ax):
    return [line.get_label() for line in ax.lines if not line.get_label().startswith("_")]


@pytest.fixture(scope="module")
def forecaster():
    models = [GRU(h=2, hidden_size=4, max_steps=6, val_check_steps=3, ensemble=2),
              GRU(h=2, hidden_size=4, max_steps=4, val_check_steps=2, alias="short")]  # fmt: skip
    return Forecaster(models, "D").fit(generate_series(3, "D", 60, 60, seed=0), val_size=4)


def test_history_of_a_forecaster(forecaster):
    history = forecaster.history
    assert history.columns.tolist() == ["model", "network", "step", "train_loss", "validation_loss"]
    counts = history.groupby(["model", "network"])["step"].agg(["min", "max", "size"])
    assert counts.index.tolist() == [("GRU", 0), ("GRU", 1), ("short", 0)]
    assert counts.to_numpy().tolist() == [[1, 6, 6], [1, 6, 6], [1, 4, 4]]
    checked = history.dropna().groupby(["model", "network"])["step"].apply(list)
    assert checked.tolist() == [[3, 6], [3, 6], [2, 4]]
    pd.testing.assert_frame_equal(
        history[history["model"] == "GRU"].drop(columns="model"), forecaster.models[0].history
    )
    assert (history.loc[history["network"] == 0, "train_loss"].to_numpy()[:4] > 0).all()


def test_history_counts_on_after_a_warm_start():
    panel = generate_series(3, "D", 60, 60, seed=0)
    forecaster = Forecaster([GRU(h=2, hidden_size=4, max_steps=3)], "D").fit(panel)
    assert forecaster.history.columns.tolist() == ["model", "network", "step", "train_loss"]
    assert forecaster.fit(panel, warm_start=True).history["step"].tolist() == [4, 5, 6]


def test_a_line_for_each_model_and_network(forecaster):
    ax = forecaster.plot_history()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss")
    assert labels(ax)[:2] == ["training, model GRU, network 0", "validation, model GRU, network 0"]
    assert len(labels(ax)) == 6
    one = forecaster.models[1].plot_history()
    assert labels(one) == ["training", "validation"]
    steps, losses = one.lines[1].get_data()
    np.testing.assert_array_equal(steps, [2, 4])
    np.testing.assert_array_equal(losses, forecaster.models[1].history["validation_loss"].dropna())


def test_nothing_to_draw(forecaster, tmp_path):
    forecaster.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    for model in (loaded, loaded.models[0], GRU(h=2), Forecaster([GRU(h=2)], "D"), CharLM()):
        assert model.history.empty
        with pytest.raises(bptt.NotFittedError, match="fit the model first"):
            model.plot_history()


def test_history_of_a_character_model_is_drawn_on_given_axes():
    lm = CharLM(hidden_size=8, embedding_size=4)
    lm.fit("abcd" * 300, streams=4, window=8, epochs=2, progress=False)
    axes = plot_history(pd.DataFrame({"epoch": [1], "train_loss": [1.0]}))
    ax = lm.plot_history(ax=axes)
    assert ax is axes
    assert ax.get_ylabel() == "nats per character"
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), lm.history["validation_nats"])


def test_many_steps_get_their_mean_over_a_faint_line():
    noise = np.random.default_rng(0).normal(size=1000)
    ax = plot_history(pd.DataFrame({"step": np.arange(1, 1001), "train_loss": 2 + noise}))
    raw, mean = ax.lines
    np.testing.assert_array_equal(raw.get_ydata(), 2 + noise)
    assert mean.get_ydata()[500] == pytest.approx((2 + noise)[480:520].mean())
    assert labels(ax) == ["training"]


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [([1.0], TypeError, "history must be a DataFrame; got list"),
     (pd.DataFrame({"epoch": [1]}), ValueError, "column of losses .*got .'epoch'")],
)  # fmt: skip
def test_what_is_no_history(history, error, message):
    with pytest.raises(error, match=message):
        plot_history(history)
