"""A real Dask cluster of processes: the numbers of one process, also where a worker is killed."""

import os
import signal
import time

import numpy as np
import pandas as pd
import pytest

from bptt.forecast import Forecaster, Pretrained, generate_series
from bptt.forecast import distributed as ours

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def df():
    return generate_series(9, "D", 40, 60, seed=0)


def test_forecasts_are_those_of_one_process(client, df):
    expected = Forecaster([Pretrained(5)], "D").fit(df).predict(level=[80])
    found = ours.forecast(client, df, [Pretrained(5)], "D", partitions=4, level=[80])
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)


def test_cross_validation_is_that_of_one_process(client, df):
    windows = {"n_windows": 2, "step_size": 5}
    expected = Forecaster([Pretrained(5)], "D").cross_validation(df, **windows)
    found = ours.cross_validation(client, df, [Pretrained(5)], "D", partitions=3, **windows)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)


def test_a_worker_that_is_killed_is_survived(client, df, tmp_path):
    path = str(tmp_path / "pid")

    class Slow(Pretrained):
        """Waits in its first `fit`, so that the worker can be killed there."""

        def fit(self, panel, **arguments):
            if not os.path.exists(path):
                with open(path, "w") as file:
                    file.write(str(os.getpid()))
                time.sleep(60)
            super().fit(panel, **arguments)

    model = Slow(5, alias="Pretrained")
    parts = ours._split(3, "unique_id", df=df, static_df=None, futr_df=None)
    tasks = [(one, [model], "D", None, None, {}, {}) for one, _, _ in parts]
    futures = [client.submit(ours._forecast, *task, retries=ours.RETRIES, pure=False) for task in tasks]
    deadline = time.monotonic() + 60
    while not os.path.exists(path) or not open(path).read():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(int(open(path).read()), signal.SIGKILL)
    found = pd.concat(client.gather(futures), ignore_index=True)
    expected = Forecaster([Pretrained(5)], "D").fit(df).predict()
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)


def test_a_partition_for_each_series_at_most(client, df):
    found = ours.forecast(client, df, [Pretrained(5)], "D", partitions=100)
    assert found["unique_id"].nunique() == 9
    assert np.isfinite(found["Pretrained"]).all()
    with pytest.raises(ValueError, match=r"columns are missing: \['shop'\]; df has"):
        ours.forecast(client, df, [Pretrained(5)], "D", partitions=2, id_col="shop")
    with pytest.raises(TypeError, match="df must be a pandas DataFrame, or one with a method to_pandas"):
        ours.forecast(client, [1, 2], [Pretrained(5)], "D", partitions=2)
    with pytest.raises(ValueError, match="partitions must be"):
        ours.forecast(client, df, [Pretrained(5)], "D", partitions=0)
