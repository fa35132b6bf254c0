"""A Forecaster's file: the same numbers after it, and clear words for what is no such file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_model import SeasonalNaive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from safetensors import safe_open
from safetensors.numpy import save_file

from bptt.forecast.evaluation.intervals import ConformalIntervals
from bptt.forecast.forecaster import Forecaster
from bptt.forecast.models import GRU, LSTM
from bptt.forecast.saving import MODELS

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(autouse=True)
def _the_double_is_a_known_model(monkeypatch):
    monkeypatch.setitem(MODELS, "SeasonalNaive", SeasonalNaive)


def frame(ids=("b", "a"), ds=None, rows=20, **columns):
    rng = np.random.default_rng(0)
    ds = pd.date_range("2024-01-01", periods=rows, freq="D") if ds is None else ds
    parts = [pd.DataFrame({"unique_id": name, "ds": ds, "y": rng.normal(size=rows)}) for name in ids]
    return pd.concat(parts, ignore_index=True).assign(**columns)


def fitted(df=None, freq="D", scaler=None, intervals=None, **model):
    models = [SeasonalNaive(3, 7, **model), SeasonalNaive(3, 1), SeasonalNaive(3, 2, alias="two")]
    return Forecaster(models, freq, local_scaler_type=scaler).fit(
        frame() if df is None else df, prediction_intervals=intervals
    )


def saved(tmp_path, forecaster=None):
    path = tmp_path / "model"
    (forecaster or fitted()).save(path)
    return path


@pytest.mark.parametrize("scaler", [None, "standard", "robust", "minmax"])
@pytest.mark.parametrize("intervals", [None, ConformalIntervals(4)])
def test_forecasts_are_the_same_bit_by_bit(tmp_path, scaler, intervals):
    forecaster = fitted(scaler=scaler, intervals=intervals)
    loaded = Forecaster.load(saved(tmp_path, forecaster))
    assert repr(loaded) == repr(forecaster)
    assert loaded.aliases == ["SeasonalNaive", "SeasonalNaive1", "two"]
    same = {"check_exact": True}
    assert_frame_equal(loaded.predict(level=[60, 70]), forecaster.predict(level=[60, 70]), **same)
    other = frame(("n", "b"), rows=30)
    assert_frame_equal(loaded.predict(other, level=[60]), forecaster.predict(other, level=[60]), **same)
    assert_frame_equal(
        loaded.predict_insample(quantiles=[0.3, 0.5]), forecaster.predict_insample(quantiles=[0.3, 0.5]), **same
    )
    assert_frame_equal(loaded.make_future_dataframe(), forecaster.make_future_dataframe(), **same)
    df = frame(rows=25)
    assert_frame_equal(loaded.cross_validation(df), forecaster.cross_validation(df), **same)
    warm = (one.fit(df, warm_start=True).predict(level=[60]) for one in (loaded, forecaster))
    assert_frame_equal(*warm, **same)
    assert loaded.models[0].fits == 2


@pytest.mark.parametrize(
    ("df", "freq"),
    [
        (frame((3, 1)), "D"),
        (frame(ds=np.arange(20)), 1),
        (frame(ds=np.arange(0, 40, 2, dtype=np.int32)), 2),
        (frame(ds=pd.date_range("2024-03-30", periods=20, freq="h", tz="Europe/Vienna")), "h"),
        (frame(ds=pd.date_range("2024-01-31", periods=20, freq="ME").as_unit("s")), "M"),
        (frame().astype({"unique_id": pd.CategoricalDtype(["a", "b", "c"])}), "D"),
        (frame().astype({"unique_id": object}), "D"),
        (frame(("ü", "'\"\\\n")), "D"),
    ],
)
def test_ids_and_times_of_every_kind_come_back(tmp_path, df, freq):
    forecaster = fitted(df, freq)
    loaded = Forecaster.load(saved(tmp_path, forecaster))
    assert_frame_equal(loaded.predict(level=[60]), forecaster.predict(level=[60]), check_exact=True)
    assert_frame_equal(loaded.predict(df), forecaster.predict(df), check_exact=True)
    assert loaded._panel.ids.dtype == forecaster._panel.ids.dtype


def test_exogenous_columns_come_back(tmp_path):
    df = frame(price=np.arange(40.0), day=["mon", "tue"] * 20)
    forecaster = fitted(df, futr_exog_list=("price", "day"), calendar=True)
    loaded = Forecaster.load(saved(tmp_path, forecaster))
    futr_df = forecaster.make_future_dataframe().assign(price=2.0, day="tue")
    assert_frame_equal(loaded.predict(futr_df=futr_df), forecaster.predict(futr_df=futr_df), check_exact=True)
    with pytest.raises(ValueError, match="Models require the following future exogenous features"):
        loaded.predict()


@pytest.mark.parametrize(
    "model",
    [GRU(3, hidden_size=5, max_steps=3, ensemble=2), LSTM(3, hidden_size=5, max_steps=3, strategy="recursive")],
    ids=["GRU", "LSTM"],
)
def test_recurrent_models_go_on_where_they_were(tmp_path, model):
    forecaster = Forecaster([model], "D", local_scaler_type="robust").fit(
        frame(), prediction_intervals=ConformalIntervals(4)
    )
    loaded = Forecaster.load(saved(tmp_path, forecaster))
    assert_frame_equal(loaded.predict(level=[60]), forecaster.predict(level=[60]), check_exact=True)
    warm = (one.fit(frame(rows=25), warm_start=True).predict(level=[60]) for one in (loaded, forecaster))
    assert_frame_equal(*warm, check_exact=True)


def test_missing_values_stay_missing(tmp_path):
    df = frame()
    df.loc[[0, 5, 38], "y"] = np.nan
    forecaster = fitted(df)
    loaded = Forecaster.load(saved(tmp_path, forecaster))
    assert_frame_equal(loaded.predict_insample(), forecaster.predict_insample(), check_exact=True)


def test_equal_forecasters_give_equal_files(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    one, two = (saved(tmp_path / name, fitted(intervals=ConformalIntervals(4))) for name in "12")
    assert one.read_bytes() == two.read_bytes()
    assert os.listdir(tmp_path / "1") == ["model"]


def test_a_file_is_only_replaced_on_request(tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    other = fitted(frame(("z",)))
    with pytest.raises(FileExistsError, match=r"exists already; pass overwrite=True .*model"):
        other.save(path)
    assert path.read_bytes() == before
    other.save(str(path), overwrite=True)
    assert_frame_equal(Forecaster.load(str(path)).predict(), other.predict(), check_exact=True)


def test_places_that_cannot_be_written_or_read(tmp_path):
    forecaster = fitted()
    for overwrite in (False, True):
        with pytest.raises(IsADirectoryError, match=str(tmp_path)):
            forecaster.save(tmp_path, overwrite=overwrite)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        forecaster.save(tmp_path / "no" / "model")
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        Forecaster.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing"):
        Forecaster.load(tmp_path / "nothing")


@pytest.mark.parametrize("ids", [pd.date_range("2024-01-01", periods=2), [0.5, 1.5], [True, False]])
def test_ids_that_are_neither_strings_nor_integers_are_refused(tmp_path, ids):
    df = frame().assign(unique_id=np.repeat(ids, 20))
    with pytest.raises(ValueError, match=r"ids of the type \w+ cannot be written to a file; accepted: strings and int"):
        fitted(df).save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_truncated_file_is_named(tmp_path, data):
    path = saved(tmp_path) if not (tmp_path / "model").exists() else tmp_path / "model"
    content = path.read_bytes()
    short = tmp_path / "short"
    short.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ValueError, match=r"short: .*not a whole safetensors file"):
        Forecaster.load(short)


def test_files_of_another_kind_are_named(tmp_path):
    text = tmp_path / "text.csv"
    text.write_text("unique_id,ds,y\n" * 10)
    with pytest.raises(ValueError, match=r"text\.csv: not a whole safetensors file"):
        Forecaster.load(text)
    foreign = tmp_path / "foreign"
    save_file({"weight": np.zeros(3)}, foreign)
    with pytest.raises(ValueError, match=r"foreign: a safetensors file, but not one of bptt\.Forecaster"):
        Forecaster.load(foreign)
    characters = tmp_path / "characters"
    save_file({"weight": np.zeros(3)}, characters, {"bptt": json.dumps({"format": "bptt.CharLM", "version": 1})})
    with pytest.raises(ValueError, match=r"characters: holds 'bptt\.CharLM', expected 'bptt\.Forecaster'"):
        Forecaster.load(characters)


def test_a_model_that_is_not_known_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path)
    monkeypatch.delitem(MODELS, "SeasonalNaive")
    with pytest.raises(ValueError, match=r"model: models\[0\]: a model of the class 'SeasonalNaive', known are"):
        Forecaster.load(path)


def rewritten(path, change):
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = json.loads(file.metadata()["bptt"])
    change(tensors, metadata)
    save_file(tensors, path, {"bptt": json.dumps(metadata)})
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, metadata: tensors.pop("panel.y"), "'panel.y' is missing"),
        (lambda tensors, metadata: metadata.pop("ids"), "'ids' is missing"),
        (lambda tensors, metadata: metadata.pop("encoding"), "'encoding' is missing"),
        (lambda tensors, metadata: metadata.update(ids=["a"]), "first rows of 1 series"),
        (lambda tensors, metadata: metadata.update(ids=None), "model: "),
        (lambda tensors, metadata: metadata.update(encoding=[]), "model: "),
        (lambda tensors, metadata: metadata.update(unit="fortnight"), "times in the unit 'fortnight'"),
        (lambda tensors, metadata: metadata.update(models=[]), "holds no models"),
        (lambda tensors, metadata: metadata.update(models=[{}]), "'class' is missing"),
        (lambda tensors, metadata: metadata.update(local_scaler_type="box"), "local_scaler_type 'box' is unknown"),
        (lambda tensors, metadata: metadata.update(futr_names=["x"]), r"futr_names must be \[\], by the columns"),
        (
            lambda tensors, metadata: tensors.update({"panel.y": tensors["panel.y"][1:]}),
            r"'panel.y' must have shape \(40,\); got \(39,\)",
        ),
        (
            lambda tensors, metadata: tensors.update({"panel.y": tensors["panel.y"].astype(np.float32)}),
            "'panel.y' must be float64; got float32",
        ),
        (
            lambda tensors, metadata: tensors.update({"panel.starts": tensors["panel.starts"][::-1].copy()}),
            "'panel.starts' does not tell the first rows of 2 series",
        ),
        (
            lambda tensors, metadata: tensors.update({"scaling.center": np.zeros(1)}),
            r"'scaling.center' must have shape \(2,\)",
        ),
        (
            lambda tensors, metadata: tensors.update({"calibrations.0.errors": np.zeros((4, 2, 3))}),
            r"'calibrations.0.errors' must have shape \(4, 3, 3\); got \(4, 2, 3\)",
        ),
        (lambda tensors, metadata: tensors.pop("calibrations.0.quantiles"), "'calibrations.0.quantiles' is missing"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(tmp_path, change, message):
    path = rewritten(saved(tmp_path, fitted(scaler="standard", intervals=ConformalIntervals(4))), change)
    with pytest.raises(ValueError, match=rf"model: .*{message.removeprefix('model: ')}"):
        Forecaster.load(path)


@pytest.fixture(scope="module")
def recursive_file(tmp_path_factory):
    """The file of a model that reads lags, seasonal values and exogenous columns by index."""
    rng = np.random.default_rng(0)
    df = frame(ds=np.arange(30), rows=30, price=rng.normal(size=60), day=["mon", "tue"] * 30)
    model = GRU(
        3, 14, strategy="recursive", lags=[7], seasonality=7, hidden_size=4, max_steps=3, anchors=[7, "last"],
        futr_exog_list=["price", "day"], stat_exog_list=["area"],
    )  # fmt: skip
    static_df = pd.DataFrame({"unique_id": ["a", "b"], "area": [1.0, 2.0]})
    forecaster = Forecaster([model], 1, local_scaler_type="standard")
    path = tmp_path_factory.mktemp("recursive") / "model"
    forecaster.fit(df, static_df, prediction_intervals=ConformalIntervals(2)).save(path)
    return path


def plan(metadata):
    return metadata["models"][0]["settings"]["plan"]


def given(metadata):
    return metadata["models"][0]["settings"]["arguments"]


def moment(tensors, name, change):
    name = f"models.0.0.adam.{name}"
    tensors[name] = change(tensors[name])


def filled(name, value):
    def change(tensors, metadata):
        tensors[name].reshape(-1)[0] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Each of these ended the process, ran for ever, filled the memory or was used.
        (lambda t, m: plan(m).update(lags=[-(10**8)]), r"models\[0\]: settings: plan: lags must be \[7\]"),
        (lambda t, m: plan(m).update(periods=[0, 0]), r"plan: periods must be \[7, 0\]"),
        (lambda t, m: plan(m).update(num_layers=2**31), "plan: num_layers must be 1"),
        (
            lambda t, m: (plan(m).update(num_layers=2**31), given(m).update(num_layers=2**31)),
            "num_layers is 2147483648, but the tensors are of 1 layers",
        ),
        (
            lambda t, m: (plan(m).update(hidden_size=2**40), given(m).update(hidden_size=2**40)),
            r"tensor '0.rnn.weight_ih_l0' must have shape",
        ),
        (lambda t, m: moment(t, "v", lambda v: v[:0]), r"'0.adam.v' must have shape \(\d+,\); got \(0,\)"),
        (lambda t, m: moment(t, "v", lambda v: v - 1), "'0.adam.v' must not be negative"),
        (lambda t, m: moment(t, "m", lambda m: m.astype(np.float64)), "'0.adam.m' must be float32; got float64"),
        (lambda t, m: moment(t, "m", lambda m: m * np.nan), "'0.adam.m' must be finite; got nan"),
        (lambda t, m: [t.pop(n) for n in list(t) if "scale." in n], "'scale.futr.mean' is missing"),
        (filled("models.0.scale.futr.spread", 0), "'scale.futr.spread' must be positive; got 0"),
        (filled("scaling.spread", -1), "'scaling.spread' must be positive; got -1"),
        (filled("calibrations.0.quantiles", np.nan), "'calibrations.0.quantiles' must be finite; got nan"),
        (filled("calibrations.0.quantiles", 0.01), r"'calibrations.0.quantiles' must be \(0.025,"),
        (filled("calibrations.0.errors", np.inf), "'calibrations.0.errors' must be finite, or NaN for all quantiles"),
        (filled("calibrations.0.errors", np.nan), "'calibrations.0.errors' must be finite, or NaN for all quantiles"),
        (filled("panel.y", np.inf), "'panel.y' must be finite"),
        (filled("panel.futr", np.nan), "'panel.futr' must be finite"),
        (filled("panel.ds", -(2**63)), "'panel.ds' has a time that is missing"),
        (filled("panel.ds", 5), "'panel.ds' must have the times of freq=1 one after the other"),
        (filled("panel.observed", False), "'panel.y' must be 0 where 'panel.observed' is false"),
        (lambda t, m: t.update({"panel.starts": np.array([0, 2**62, 60])}), "does not tell the first rows of 2"),
        (lambda t, m: t.update({"models.1.x": np.zeros(1)}), r"'models\.1\.x' is not one of this Forecaster"),
        (lambda t, m: t.update({"models.0.1.x": np.zeros(1)}), r"'1\.x' is not one of this model"),
        (lambda t, m: m.update(ids=["a", "a"]), "ids must name each series once"),
        (lambda t, m: m.update(ids=["a", 3.5]), "ids must be strings and integers"),
        (lambda t, m: m["models"][0].update(alias="unique_id"), r"models: alias must be \['GRU'\]"),
        (lambda t, m: m["models"][0]["settings"].update(steps=[-1]), "steps: each of them must be an integer of at"),
        (lambda t, m: m["models"][0]["settings"].update(steps=[3, 3]), "steps: must be of 1 networks; got 2"),
        (lambda t, m: given(m).update(h=10**9), "plan: n must be 1000000000"),
        (lambda t, m: given(m).update(seed=None), "arguments: seed must be .*; got None"),
        (lambda t, m: given(m).pop("transform"), "arguments: 'transform' is missing"),
        (lambda t, m: given(m).update(futr_exog_list=["price"]), "plan: futr must be 1"),
        (lambda t, m: m["encoding"].update(freq="D"), "encoding: time_dtype: no column of a frame with freq='D' can"),
        (lambda t, m: m["encoding"].update(freq=2), "'panel.ds' must have the times of freq=2 one after the other"),
        (lambda t, m: m["encoding"].update(target_col="ds"), "encoding: .* must name three columns"),
        (lambda t, m: m["encoding"].update(id_dtype="int64"), "ids: "),
        (lambda t, m: m["encoding"]["categories"].update(day=["mon"]), r"futr_names must be \['price', 'day=mon'\]"),
        (lambda t, m: m["encoding"].update(calendar=1), "encoding: calendar must be true or false; got 1"),
    ],
)
def test_a_file_holds_nothing_that_fit_could_not_have_left(recursive_file, tmp_path, change, message):
    path = tmp_path / "model"
    path.write_bytes(recursive_file.read_bytes())
    Forecaster.load(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=rf"model: .*{message}"):
        Forecaster.load(path)


def test_a_flipped_bit_in_a_weight_is_seen(recursive_file, tmp_path):
    path = tmp_path / "model"
    rewritten_path = tmp_path / "rewritten"
    content = bytearray(recursive_file.read_bytes())
    size = int.from_bytes(content[:8], "little")
    first, _ = json.loads(content[8 : 8 + size])["models.0.0.head.weight"]["data_offsets"]
    content[8 + size + first] ^= 1  # the lowest bit of a weight
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model: damaged: its content does not match the 'checksum' in its header"):
        Forecaster.load(path)
    # A file of before there were checksums is taken as it is.
    rewritten_path.write_bytes(recursive_file.read_bytes())
    Forecaster.load(rewritten(rewritten_path, lambda tensors, metadata: metadata.pop("checksum")))


def test_a_file_of_the_first_layout_is_read(tmp_path):
    """Written before there were checksums, and before seeds were drawn by purpose; the second of its two models."""

    def drop_the_first(tensors, metadata):
        metadata["models"] = metadata["models"][1:]
        metadata["encoding"].update(futr=[])  # the price was the first one's
        kept = [name != "price" for name in metadata["futr_names"]]
        metadata["futr_names"] = [name for name in metadata["futr_names"] if name != "price"]
        tensors["panel.futr"] = np.ascontiguousarray(tensors["panel.futr"][:, kept])
        for name in list(tensors):
            part, _, rest = name.partition(".")
            if part in ("models", "calibrations"):
                number, _, rest = rest.partition(".")
                array = tensors.pop(name)
                if number == "1":
                    tensors[f"{part}.0.{rest}"] = array

    path = tmp_path / "model"
    path.write_bytes((GOLDEN / "forecaster_v1.safetensors").read_bytes())
    forecaster = Forecaster.load(rewritten(path, drop_the_first))
    forecasts = forecaster.predict(level=[80])
    assert list(forecasts.columns) == ["unique_id", "ds", "LSTM", "LSTM-lo-80", "LSTM-hi-80"]
    # Trained on numbers between 5 and 6.
    assert forecasts.drop(columns=["unique_id", "ds"]).apply(lambda column: column.between(3, 8)).all(axis=None)


def test_a_recursive_model_of_the_first_layout_reads_its_forecasts_as_observed_values(tmp_path):
    forecaster = Forecaster.load(GOLDEN / "forecaster_v1.safetensors")
    futr_df = forecaster.make_future_dataframe().assign(price=0.5)
    forecasts = forecaster.predict(futr_df=futr_df, level=[80])
    assert list(forecasts.columns[:5]) == ["unique_id", "ds", "GRU", "GRU-lo-80", "GRU-hi-80"]
    assert [model._plan.marks_forecasts for model in forecaster.models if model.strategy == "recursive"] == [False]
    again = Forecaster.load(saved(tmp_path, forecaster))  # in the layout of today
    assert_frame_equal(again.predict(futr_df=futr_df, level=[80]), forecasts, check_exact=True)


def test_large_unsigned_ids_come_back(tmp_path):
    forecaster = fitted(frame(np.array([2**64 - 1, 3], np.uint64)))
    loaded = Forecaster.load(saved(tmp_path, forecaster))
    assert_frame_equal(loaded.predict(), forecaster.predict(), check_exact=True)


def test_loading_runs_no_code_of_the_file(tmp_path):
    """The file is read in a process where unpickling is an error."""
    path = saved(tmp_path)
    script = (
        "import pickle, sys\n"
        "from fake_model import SeasonalNaive\n"
        "from bptt.forecast.saving import MODELS\n"
        "from bptt.forecast.forecaster import Forecaster\n"
        "MODELS['SeasonalNaive'] = SeasonalNaive\n"
        "pickle.load = pickle.loads = pickle.Unpickler = None\n"
        "print(Forecaster.load(sys.argv[1]).predict().to_csv(index=False))\n"
    )
    search = os.pathsep.join([*sys.path, os.path.dirname(__file__)])
    result = subprocess.run(
        [sys.executable, "-c", script, path], env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == Forecaster.load(path).predict().to_csv(index=False).strip()
