"""Forecast shops, regions and their total, and make the forecasts add up with hierarchicalforecast.

Six shops in two regions have visits by day. A forecast of the total is not the sum of the shops' forecasts until they
are reconciled. Needs the package made for it: pip install hierarchicalforecast

    python examples/reconcile_hierarchy.py             # some seconds; prints the error of each level, before and after
"""

import argparse

import numpy as np
import pandas as pd
from hierarchicalforecast.core import HierarchicalReconciliation
from hierarchicalforecast.methods import BottomUp, MinTrace
from hierarchicalforecast.utils import aggregate

from bptt.forecast import Forecaster, Pretrained

H = 28
LEVELS = [["country"], ["country", "region"], ["country", "region", "shop"]]


def shops(days: int, seed: int = 0) -> pd.DataFrame:
    """Visits with a weekly pattern, a trend of the region, and noise."""
    rng = np.random.default_rng(seed)
    t, ds = np.arange(days), pd.date_range("2023-01-02", periods=days, freq="D")
    parts = []
    for region in ("north", "south"):
        common = 60 + np.cumsum(rng.normal(0, 0.8, days))
        for shop in range(3):
            week = 1 + 0.3 * np.sin(2 * np.pi * (t + rng.integers(7)) / 7)
            y = np.maximum(common * week + rng.normal(0, 6, days), 0).round()
            parts.append(
                pd.DataFrame({"country": "all", "region": region, "shop": f"{region} {shop}", "ds": ds, "y": y})
            )
    return pd.concat(parts, ignore_index=True)


def main(arguments: list[str] | None = None) -> pd.DataFrame:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=730)
    options = parser.parse_args(arguments)
    nodes, summing, tags = aggregate(shops(options.days), LEVELS)
    late = nodes["ds"] > nodes["ds"].max() - pd.Timedelta(days=H)
    train, test = nodes[~late], nodes[late]

    # The errors on the training data say how far each node's forecast is to be trusted.
    forecaster = Forecaster([Pretrained(H)], "D").fit(train)
    forecasts, fitted = forecaster.predict(), forecaster.predict_insample(H)
    reconciled = HierarchicalReconciliation([BottomUp(), MinTrace("wls_var")]).reconcile(
        Y_hat_df=forecasts, Y_df=fitted.drop(columns="cutoff"), S_df=summing, tags=tags
    )
    rows = reconciled.merge(test, on=["unique_id", "ds"])
    models = [name for name in reconciled.columns if name not in ("unique_id", "ds")]
    errors = pd.DataFrame(
        {
            level.rpartition("/")[2]: (rows[models].sub(rows["y"], axis=0).abs())[rows["unique_id"].isin(ids)].mean()
            for level, ids in tags.items()
        }
    )
    print("mean absolute error of the last 28 days")
    print(errors.round(2).to_string())
    total, parts = (rows[rows["unique_id"].isin(tags[level])] for level in ("country", "country/region/shop"))
    for name in models:
        apart = (parts.groupby("ds")[name].sum() - total.set_index("ds")[name]).abs().max()
        print(f"{name}: the total and the sum of the shops are up to {apart:.2f} apart")
    return errors


if __name__ == "__main__":
    main()
