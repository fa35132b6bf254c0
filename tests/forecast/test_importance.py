"""What columns are worth, against series of which it is known."""

import numpy as np
import pandas as pd
import pytest

from bptt import NotFittedError
from bptt.forecast import GRU, Forecaster, Pretrained, permutation_importance

H = 6


def frame(N=6, rows=70):
    """y is twice a price and the size of the shop; nothing depends on the noise."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=rows, freq="D")
    parts = []
    for shop in range(N):
        price, noise = rng.random((2, rows))
        y = 3 + 2 * price
        parts.append(pd.DataFrame({"unique_id": f"s{shop}", "ds": days, "y": y, "price": price, "noise": noise}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fitted():
    df = frame()
    shared = {"futr_exog_list": ["price", "noise"], "max_steps": 150, "hidden_size": 16, "seasonality": 1, "seed": 1}
    models = [GRU(H, **shared), GRU(H, futr_exog_list=["noise"], max_steps=20, hidden_size=4, alias="blind")]
    return Forecaster(models, "D").fit(df[df.groupby("unique_id").cumcount(ascending=False) >= H]), df


def test_what_matters_comes_first(fitted):
    forecaster, df = fitted
    found = permutation_importance(forecaster, df.sample(frac=1, random_state=0))
    assert found.columns.tolist() == ["model", "column", "importance", "std"]
    assert found[["model", "column"]].to_numpy().tolist() == [
        ["GRU", "price"], ["GRU", "noise"], ["blind", "noise"],
    ]  # fmt: skip
    price, noise, _ = found["importance"]
    # A perfect forecast by another day's price misses by 2 |p - p'|, as much as a row differs from the next: 1 scaled.
    assert 0.5 < price < 1.2
    assert abs(noise) < 0.1 * price
    assert (found["std"] > 0).all()


def test_the_seed_says_how_columns_are_shuffled(fitted):
    forecaster, df = fitted
    one, same, other = (permutation_importance(forecaster, df, n_repeats=2, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert (one["importance"] != other["importance"]).any()


def test_the_frames_and_the_fit_stay_as_they_are(fitted):
    forecaster, df = fitted
    future = forecaster.make_future_dataframe().assign(price=0.5, noise=0.5)
    before, given = forecaster.predict(futr_df=future), df.copy()
    permutation_importance(forecaster, df, n_repeats=1)
    pd.testing.assert_frame_equal(df, given)
    pd.testing.assert_frame_equal(before, forecaster.predict(futr_df=future))


def test_past_and_static_columns():
    df = frame(12)
    sizes = np.arange(12.0)
    df["y"] += np.repeat(sizes, 70) * np.tile(np.arange(70) % 2, 12)  # the larger the shop, the larger the swing
    static = pd.DataFrame({"unique_id": [f"s{n}" for n in range(12)], "size": sizes, "void": 1.0})
    model = GRU(
        2, 8, hist_exog_list=["noise"], stat_exog_list=["size", "void"], max_steps=30, hidden_size=8, seasonality=1
    )
    shown = df[df.groupby("unique_id").cumcount(ascending=False) >= 2]
    found = permutation_importance(Forecaster([model], "D").fit(shown, static), df, static).set_index("column")
    assert set(found.index) == {"noise", "size", "void"}
    assert found.loc["void", "importance"] == 0
    assert found.loc["size", "std"] > 0


def test_errors(fitted):
    forecaster, df = fitted
    with pytest.raises(ValueError, match="needs a model with exogenous columns"):
        permutation_importance(Forecaster([Pretrained(3)], "D").fit(df), df)
    with pytest.raises(NotFittedError):
        permutation_importance(Forecaster([GRU(3, futr_exog_list=["price"])], "D"), df)
    with pytest.raises(ValueError, match=r"missing: \['price'\]"):
        permutation_importance(forecaster, df.drop(columns="price"))
    with pytest.raises(ValueError, match=r"more rows than the horizon \(6\)"):
        permutation_importance(forecaster, df.groupby("unique_id").head(6))
    with pytest.raises(ValueError, match="n_repeats must be"):
        permutation_importance(forecaster, df, n_repeats=0)
