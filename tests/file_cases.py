"""What `test_file_mutants.py` has another process run: load a file that is almost right, and use it if it is taken.

The process may have little more memory than the whole files need, and a mutant that takes long ends it.
"""

import contextlib
import faulthandler
import functools
import io
import os
import re
import resource
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import bptt
from bptt import NonFiniteError
from bptt.forecast import GRU, LSTM, Forecaster
from bptt.forecast.evaluation.intervals import ConformalIntervals
from bptt.text import CharLM
from file_mutants import mutant
from guarded import serve

MEMORY = 1 << 30
SECONDS = 30
FOLDER = tempfile.TemporaryDirectory()
PATH = Path(FOLDER.name) / "mutant"
# An error of Python's own says nothing to a user.
UNNAMED = re.compile(r"\b(Attribute|Key|Index|Overflow|ZeroDivision|Type|Memory|Recursion|FloatingPoint)Error\b")
TEXT = "the cat sat on the mat; " * 12


class NotFiniteError(Exception):
    """Forecasts or losses are not numbers."""


def limit_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    # The soft limit only: the hard one cannot be raised again for the next kind of file.
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))


@functools.cache
def series():
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=40, freq="D")
    parts = [pd.DataFrame({"unique_id": name, "ds": days, "y": 5 + rng.random(40)}) for name in "ab"]
    df = pd.concat(parts, ignore_index=True)
    df["price"], df["day"], df["past"] = rng.random(80), ["mon", "tue"] * 40, rng.random(80)
    return df, pd.DataFrame({"unique_id": ["a", "b"], "area": [1.0, 2.0]})


@functools.cache
def forecaster_file():
    common = {"hidden_size": 4, "max_steps": 2, "batch_size": 4, "calendar": True}
    models = [
        GRU(3, 14, strategy="recursive", lags=[7], anchors=[7, "change:7", "last"], futr_exog_list=["price", "day"],
            stat_exog_list=["area"], **common),
        LSTM(3, hist_exog_list=["past"], ensemble=2, quantiles=[0.1, 0.9], **common),
    ]  # fmt: skip
    df, static_df = series()
    forecaster = Forecaster(models, "D", local_scaler_type="standard").fit(
        df, static_df, prediction_intervals=ConformalIntervals(2)
    )
    forecaster.save(PATH, overwrite=True)
    use_forecaster(forecaster)
    return ready()


@functools.cache
def character_file():
    lm = CharLM(cell="gru", hidden_size=6, num_layers=2, embedding_size=3)
    lm.fit(TEXT, streams=2, window=8, epochs=1, progress=False).save(PATH, overwrite=True)
    use_characters(lm)
    return ready()


@functools.cache
def layers_file():
    layers = [
        bptt.Embedding(6, 3, seed=0),
        bptt.LSTM(3, 5, 2, dropout=0.2, seed=1),
        bptt.RNN(5, 4, nonlinearity="relu", seed=2),
        bptt.Dropout(0.1),
        bptt.LastStep(),
        bptt.Linear(4, 2, bias=False, seed=3),
    ]
    model = bptt.Sequential(*layers, seed=4)
    model.save(PATH, overwrite=True)
    use_layers(model)
    return ready()


def use_layers(model):
    tokens = np.zeros((7, 2), int)
    y, _, tape = model.forward(tokens, lengths=[7, 2])
    if not np.isfinite(y).all():
        raise NotFiniteError
    model.backward(np.ones_like(y), tape)


def ready():
    content = PATH.read_bytes()
    PATH.unlink()
    limit_memory()
    return content


def use_forecaster(forecaster):
    df, static_df = series()
    future = forecaster.make_future_dataframe().assign(price=0.5, day="mon")
    check_forecasts(forecaster.predict(futr_df=future, level=[80]))
    given = [model._given for model in forecaster.models]
    # Whoever asks for a training that takes days gets it.
    if all((one["max_steps"] or 1_000) < 100 and one["batch_size"] < 1_000 for one in given):
        forecaster.fit(df, static_df, val_size=3, warm_start=True)
        future = forecaster.make_future_dataframe().assign(price=0.5, day="mon")
        check_forecasts(forecaster.predict(futr_df=future))


def check_forecasts(forecasts):
    numbers = forecasts.select_dtypes("number").to_numpy()
    assert len(forecasts) == 6
    if not np.isfinite(numbers).all():
        raise NotFiniteError


def use_characters(lm):
    figures = lm.evaluate(TEXT, streams=2)
    if not np.isfinite(figures["nats_per_char"]):
        raise NotFiniteError
    lm.sample(length=5)
    with contextlib.redirect_stderr(io.StringIO()):  # it says that the weights are new ones
        lm.fit(TEXT, streams=2, window=8, epochs=1, progress=False)


def load_and_use(load, use, content, number):
    change, changed = mutant(content, number)
    PATH.write_bytes(changed)
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model = load(PATH)
            except ValueError as error:
                message = str(error)
                assert message.startswith(f"{PATH}: "), f"{change}: the file is not named: {message}"
                assert not UNNAMED.search(message), f"{change}: {message}"
                assert len(message) < 1_500, f"{change}: a message of {len(message)} characters"
            else:
                again = PATH.with_name("again")
                model.save(again, overwrite=True)
                load(again)
                use(model)
    except NonFiniteError:
        pass  # a training that got out of hand says so
    except NotFiniteError:
        # Numbers of any size may be what a training has left.
        assert change.startswith("huge"), f"{change}: results that are not finite"
    except Exception as error:
        raise AssertionError(f"{change}: {type(error).__name__}: {error}") from error
    finally:
        faulthandler.cancel_dump_traceback_later()


def forecaster(number):
    load_and_use(Forecaster.load, use_forecaster, forecaster_file(), number)


def characters(number):
    load_and_use(CharLM.load, use_characters, character_file(), number)


def layers(number):
    load_and_use(bptt.Sequential.load, use_layers, layers_file(), number)


def fault(kind):
    """What the harness has to notice."""
    limit_memory()
    faulthandler.dump_traceback_later(1, exit=True)
    if kind == "waits":
        while True:
            pass
    if kind == "ends":
        os.kill(os.getpid(), 11)
    np.ones(MEMORY // 4)


if __name__ == "__main__":
    serve({"forecaster": forecaster, "characters": characters, "layers": layers, "fault": fault})
