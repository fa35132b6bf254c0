"""`Forecaster.simulate`: paths whose first step has the forecast's quantiles, and whose steps belong together."""

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from bptt import NotFittedError, seeds, set_num_threads
from bptt.forecast import GRU, Forecaster, Pretrained

TINY = {"hidden_size": 6, "max_steps": 10, "batch_size": 16, "seasonality": 7, "input_size": 14}
RECURSIVE = {"strategy": "recursive", **TINY}


def frame(y, name="a"):
    return pd.DataFrame(
        {"unique_id": name, "ds": pd.date_range("2024-01-01", periods=len(y), freq="D"), "y": np.asarray(y, float)}
    )


def walk(rows=90, seed=0):
    return 50 + np.random.default_rng(seed).standard_normal(rows).cumsum()


def paths_of(frame, column, n_paths):
    return frame[column].to_numpy().reshape(n_paths, -1)


@pytest.mark.parametrize("model", [Pretrained(5, seasonality=7), GRU(5, **RECURSIVE)], ids=["Pretrained", "GRU"])
def test_the_first_step_has_the_quantiles_of_the_forecast(model):
    forecaster = Forecaster([model], "D").fit(frame(walk()))
    P, h = 50, 5
    found = paths_of(forecaster.simulate(n_paths=P, seed=3), model.alias, P)[:, 0]
    scores = seeds.generator(3, "sampling").standard_normal((1, P, h))[0, :, 0]
    shares = [round(NormalDist().cdf(score), 9) for score in scores]
    said = forecaster.predict(quantiles=sorted(shares))
    expected = said.iloc[0].drop(["unique_id", "ds", model.alias]).to_numpy(float)
    # The median's transform is not linear, so what lies between two quantiles agrees as closely as they lie together.
    np.testing.assert_allclose(np.sort(found), expected, rtol=2e-3)


def test_steps_of_a_random_walk_add_up_and_those_of_noise_do_not():
    """Standard deviations of the last step and of the sum of all, against those of the processes themselves."""
    P, h = 400, 12
    noise = 50 + np.random.default_rng(1).standard_normal(120)
    df = pd.concat([frame(walk(120, seed=2), "walk"), frame(noise, "noise")])
    found = Forecaster([Pretrained(h, seasonality=1)], "D").fit(df).simulate(n_paths=P)
    walked, still = (
        paths_of(found[found["unique_id"] == name], "Pretrained", P).std(axis=0) for name in ("walk", "noise")
    )
    assert walked[-1] / walked[0] == pytest.approx(np.sqrt(h), rel=0.35)
    assert still[-1] / still[0] == pytest.approx(1, rel=0.35)
    assert walked[0] == pytest.approx(1, rel=0.4)
    sums = paths_of(found[found["unique_id"] == "noise"], "Pretrained", P).sum(axis=1)
    assert sums.std() / np.sqrt(h) == pytest.approx(1, rel=0.5)  # were they one, it would be sqrt(12) times as much


def test_the_frame():
    df = pd.concat([frame(walk(), "b"), frame(walk(seed=1), "a")])
    forecaster = Forecaster([Pretrained(3, seasonality=7), GRU(3, **RECURSIVE)], "D").fit(df)
    found = forecaster.simulate(n_paths=4, h=6)
    assert found.columns.tolist() == ["unique_id", "sample_id", "ds", "Pretrained", "GRU"]
    assert found["unique_id"].tolist() == ["a"] * 24 + ["b"] * 24
    assert found["sample_id"].tolist() == np.tile(np.repeat(np.arange(4), 6), 2).tolist()
    expected = pd.date_range("2024-03-31", periods=6, freq="D")
    assert (found["ds"].to_numpy().reshape(-1, 6) == expected.to_numpy()).all()
    assert np.isfinite(found[["Pretrained", "GRU"]].to_numpy()).all()
    other = forecaster.simulate(frame(walk(40, seed=9), "new"), n_paths=2)
    assert other["unique_id"].unique().tolist() == ["new"]


def test_the_same_seed_gives_the_same_bits_with_any_number_of_threads():
    forecaster = Forecaster([Pretrained(4, seasonality=7)], "D").fit(frame(walk()))
    found = []
    for threads in (1, 2):
        set_num_threads(threads)
        found.append(forecaster.simulate(n_paths=600, seed=1))
    pd.testing.assert_frame_equal(*found, check_exact=True)
    assert not found[0]["Pretrained"].equals(forecaster.simulate(n_paths=600, seed=2)["Pretrained"])
    draws = [forecaster.simulate(n_paths=5, seed=None)["Pretrained"] for _ in range(2)]
    assert not draws[0].equals(draws[1])


def test_each_network_of_an_ensemble_has_its_paths():
    df = frame(walk())
    alone = [
        Forecaster([GRU(3, ensemble=1, **RECURSIVE)], "D").fit(df),
        Forecaster([GRU(3, ensemble=2, **RECURSIVE)], "D").fit(df),
    ]
    one, two = (paths_of(forecaster.simulate(n_paths=10), "GRU", 10) for forecaster in alone)
    np.testing.assert_array_equal(one[::2], two[::2])
    assert (one[1::2] != two[1::2]).all()


def test_known_future_and_a_scaled_series():
    df = frame(walk()).assign(price=np.arange(90) % 3)
    model = GRU(3, futr_exog_list=["price"], **RECURSIVE)
    forecaster = Forecaster([model], "D", local_scaler_type="standard").fit(df)
    future = forecaster.make_future_dataframe()
    low, high = (forecaster.simulate(futr_df=future.assign(price=price), n_paths=8)["GRU"] for price in (0, 9))
    assert low.between(20, 90).all()
    assert not low.equals(high)


def test_series_of_zeros_and_series_without_values():
    df = pd.concat([frame(np.zeros(30), "zeros"), frame(np.full(30, np.nan), "nothing"), frame(walk(), "walk")])
    with pytest.warns(UserWarning, match="have no values"):
        found = Forecaster([Pretrained(2, seasonality=7)], "D").fit(df).simulate(n_paths=3).set_index("unique_id")
    assert (found.loc["zeros", "Pretrained"] == 0).all()
    assert found.loc["nothing", "Pretrained"].isna().all()
    assert found.loc["walk", "Pretrained"].notna().all()


def test_a_blend_with_naive_forecasts_is_no_network_to_draw_from():
    with pytest.warns(UserWarning, match="blended with naive forecasts"):
        forecaster = Forecaster([GRU(4, strategy="recursive", seasonality=1, hidden_size=8)], "D").fit(frame(walk(60)))
    with pytest.raises(ValueError, match=r"GRU was trained on few windows.*max_steps=<steps>.*Pretrained\(h=4\)"):
        forecaster.simulate()


def test_a_file_simulates_the_same(tmp_path):
    forecaster = Forecaster([Pretrained(3, seasonality=7), GRU(3, **RECURSIVE)], "D").fit(frame(walk()))
    forecaster.save(tmp_path / "model")
    again = Forecaster.load(tmp_path / "model").simulate(n_paths=5)
    pd.testing.assert_frame_equal(again, forecaster.simulate(n_paths=5), check_exact=True)


@pytest.mark.parametrize(
    ("models", "arguments", "kind", "message"),
    [
        ([GRU(3, **TINY)], {}, ValueError, r"strategy='recursive'.*like Pretrained\(h=3\); got GRU with strategy='seg"),
        ([GRU(3, quantiles=[0.6, 0.9], **RECURSIVE)], {}, ValueError, r"some below and some above 0\.5; got GRU"),
        ([Pretrained(3, alias="sample_id")], {}, ValueError, "another column of the results; got 'sample_id'"),
        ([Pretrained(3)], {"n_paths": 0}, ValueError, "n_paths must be"),
        ([Pretrained(3)], {"n_paths": 2.5}, TypeError, "n_paths must be"),
        ([Pretrained(3)], {"h": 0}, ValueError, "h must be"),
        ([Pretrained(3)], {"seed": -1}, ValueError, "seed must be"),
        ([Pretrained(3)], {"static_df": frame(walk())}, ValueError, "static_df describes the series of df"),
    ],
)
def test_errors(models, arguments, kind, message):
    forecaster = Forecaster(models, "D").fit(frame(walk()))
    with pytest.raises(kind, match=message):
        forecaster.simulate(**arguments)


def test_not_fitted():
    with pytest.raises(NotFittedError, match="before simulating"):
        Forecaster([Pretrained(3)], "D").simulate()
