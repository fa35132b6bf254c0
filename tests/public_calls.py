"""Random calls of the public interface with awkward values: `python public_calls.py SEED CALLS`.

Each call takes arguments that work, replaces one or two of them, and must succeed or raise an error whose message
names an argument of the call. What does neither is printed, one JSON object a line.
"""

import inspect
import json
import random
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import bptt
import bptt.forecast
import bptt.text
from bptt import testing
from bptt.cells.table import CELLS
from bptt.text.network import scoring
from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import Trainer
from bptt.training import optimizers, schedules

ACCEPTED = (ValueError, TypeError, OSError, RuntimeError, KeyError, AttributeError, MemoryError, ArithmeticError)
NAMES_NOTHING = "names no argument"

F32 = np.ones((4, 2, 3), "float32")
AWKWARD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 2.5, -0.5, 0.0, 1.0, float("nan"), float("inf"), -float("inf"), 1e-320, 1e300,
    2**31, 2**63, 10**30, -(10**30), 1j, "", "x", "lstm", "adam", "mean", "a\0b", "ä€", b"x", bytearray(b"x"), [], [1],
    [None], [[1.0, 2.0], [3.0]], ["x"], (), (1, 2), (2, 1), (1, 2, 3), {}, {"a": 1}, {"weight": [1.0]}, set(), {1, 2},
    object(), int, len, iter([1, 2]), range(3), slice(1), np.float32(2), np.float64("nan"), np.int64(2), np.uint8(200),
    np.bool_(True), np.array(3), np.array(2.5), np.zeros(0), np.zeros((0, 2, 3), "float32"), np.zeros((2, 3)), F32,
    F32[..., :1], F32.astype("f8"), F32 * np.float32("nan"), F32.astype(">f4"), F32.astype(object),
    np.ma.array(F32, mask=F32 > 0), np.ones((4, 2), bool), np.ones((4, 2), int), np.full((4, 2), -1), np.full(2, 9),
    np.array(["a", "b"]), np.array(["2020-01-01"], "M8[D]"), np.array([2**63], "u8"), np.dtype("f4"), np.float16,
    "2020-01-01", pd.Timestamp("2020-01-01"), pd.NaT, pd.DataFrame(), pd.DataFrame({"a": [1]}), pd.Series([1.0]),
    Path("missing/file"), Path(), ValueError("x"),
)  # fmt: skip
# How often something is to be done, or how much of it: as large as this it is a wait, not a mistake.
LONG = {"epochs", "max_steps", "length", "n_series", "min_length", "max_length", "order", "steps", "warmup", "n",
        "n_static_features", "n_exog", "n_futr_exog", "n_windows", "h", "season_length", "ensemble", "test_size",
        "max_ids", "input_size", "hidden_size", "num_layers", "embedding_size", "head_size", "streams", "window",
        "vocabulary_size", "num_embeddings", "embedding_dim", "in_features", "out_features", "batch_size"}  # fmt: skip
HUGE = 1000
# A fit or a fit of many: tried less often.
SLOW = {"CharLM.fit", "Forecaster.fit", "Forecaster.cross_validation", "check_cell", "CharLM.evaluate"}


class Target(NamedTuple):
    """A public callable: its name, how it is called, arguments that work."""

    name: str
    call: Callable[..., Any]
    good: dict[str, Any]


def targets(folder: Path) -> list[Target]:
    """The public interface, with objects for its methods."""
    frame = bptt.forecast.generate_series(2, freq="D", min_length=40, max_length=40, seed=0)
    network = {"h": 2, "input_size": 4, "hidden_size": 4, "max_steps": 1, "seed": 0}
    models = [getattr(bptt.forecast, name) for name in ("RNN", "GRU", "LSTM")]
    forecaster = bptt.forecast.Forecaster(models=[models[1](**network)], freq="D").fit(frame)
    text = "the quick brown fox. " * 40
    lm = bptt.text.CharLM(hidden_size=4, embedding_size=3, seed=0)
    lm.fit(text, streams=2, window=8, epochs=1, progress=False)
    lm_path, forecaster_path = folder / "model.bptt", folder / "forecaster.bptt"
    lm.save(lm_path)
    forecaster.save(forecaster_path)
    sequence_model = SequenceModel(vocabulary_size=5, embedding_size=3, hidden_size=4, seed=0)
    layer = bptt.LSTM(3, 5, 2, seed=0)
    y, state, tape = layer.forward(F32)
    linear, embedding = bptt.Linear(3, 5, seed=0), bptt.Embedding(9, 3, seed=0)
    model = bptt.Sequential(bptt.GRU(3, 4, seed=0), bptt.LastStep(), bptt.Linear(4, 2, seed=1))
    model_y, _, model_tape = model.forward(F32)
    vocabulary = bptt.text.Vocabulary("abc")
    tokens = np.arange(40).reshape(2, 20) % 5
    numbers = np.arange(40) % 5
    losses = {"y_hat": np.ones((4, 2)), "y": np.zeros((4, 2)), "mask": np.ones((4, 2), bool), "weight": 1.0}
    sizes = {"input_size": 3, "hidden_size": 5, "num_layers": 1, "dropout": 0.0, "batch_first": False,
             "dtype": "float32", "seed": 0, "init": "pytorch"}  # fmt: skip

    def trainer(**options: Any) -> Trainer:
        return Trainer(SequenceModel(vocabulary_size=5, embedding_size=3, hidden_size=4, seed=0), **options)

    found = [
        *(Target(cell, getattr(bptt, cell), sizes) for cell in ("RNN", "GRU", "LSTM")),
        Target("RNN", bptt.RNN, sizes | {"nonlinearity": "relu"}),
        Target("LSTM.__call__", layer.__call__, {"x": F32, "state": state, "lengths": [2, 4], "reset": None}),
        Target("LSTM.forward", layer.forward, {"x": F32, "state": state, "lengths": [2, 4], "reset": None}),
        Target("LSTM.backward", layer.backward, {"dy": y, "tape": tape, "dstate": state, "errors": True}),
        Target("LSTM.train", layer.train, {"mode": False}),
        Target("LSTM.load_state_dict", layer.load_state_dict, {"state_dict": layer.state_dict()}),
        Target("LSTM.dropout", lambda dropout: setattr(layer, "dropout", dropout), {"dropout": 0.0}),
        Target("LSTM.training", lambda training: setattr(layer, "training", training), {"training": True}),
        Target("LSTM.flat", lambda flat: setattr(layer, "flat", flat), {"flat": layer.flat.copy()}),
        Target("Linear", bptt.Linear, {"in_features": 3, "out_features": 5, "dtype": "float32", "seed": 0}),
        Target("Linear.forward", linear.forward, {"x": F32}),
        Target("Linear.backward", linear.backward,
               {"dy": np.ones((4, 2, 5), "float32"), "tape": linear.forward(F32)[1]}),
        Target("Linear.parameters", lambda parameters: linear.parameters.__setitem__("bias", parameters),
               {"parameters": [1.0] * 5}),
        Target("Embedding", bptt.Embedding, {"num_embeddings": 9, "embedding_dim": 3, "dtype": "float32", "seed": 0}),
        Target("Embedding.forward", embedding.forward, {"x": [[1, 2]]}),
        Target("Embedding.backward", embedding.backward,
               {"dy": np.ones((1, 2, 3), "float32"), "tape": embedding.forward([[1, 2]])[1]}),
        Target("Sequential", lambda layer, names, seed: bptt.Sequential(layer, names=names, seed=seed),
               {"layer": bptt.Linear(2, 3), "names": ["a"], "seed": 0}),
        Target("Sequential.forward", model.forward, {"x": F32, "state": None, "lengths": [2, 4], "reset": None}),
        Target("Sequential.backward", model.backward, {"dy": model_y, "tape": model_tape, "dstate": None}),
        Target("Sequential.load_state_dict", model.load_state_dict, {"state_dict": model.state_dict()}),
        Target("clip_grad_norm", bptt.training.clip_grad_norm,
               {"gradients": model.backward(model_y, model_tape), "max_norm": 1.0}),
        Target("cross_entropy", bptt.cross_entropy, {"logits": F32, "targets": np.ones((4, 2), int)}),
        Target("l1_loss", bptt.l1_loss, losses),
        Target("mse_loss", bptt.mse_loss, losses),
        Target("huber_loss", bptt.huber_loss, losses | {"delta": 1.0}),
        Target("pinball_loss", bptt.pinball_loss,
               losses | {"y_hat": np.ones((4, 2, 2)), "quantiles": [0.1, 0.9]}),
        Target("TBPTT", bptt.TBPTT, {"k1": 2, "k2": 3}),
        Target("set_num_threads", bptt.set_num_threads, {"n": 1}),
        Target("SequenceModel", SequenceModel, {"vocabulary_size": 5, "cell": "gru", "embedding_size": 3,
               "hidden_size": 4, "num_layers": 1, "nonlinearity": "tanh", "dropout": 0.1, "input_dropout": 0.1,
               "dtype": "float32", "init": "pytorch", "seed": 0}),
        Target("Trainer", Trainer, {"model": sequence_model, "streams": 2, "window": 4, "optimizer": optimizers.Adam(),
               "clip_norm": 1.0, "clip_value": 1.0, "average": 0.9, "seed": 0}),
        Target("Trainer.run", trainer(streams=2, window=4).run,
               {"tokens": tokens, "first": 0, "learning_rates": np.full(2, 1e-3)}),
        Target("score", scoring.score, {"model": sequence_model, "tokens": tokens, "window": 4, "flat": None}),
        Target("SGD", optimizers.SGD, {"momentum": 0.9, "weight_decay": 0.0}),
        Target("RMSprop", optimizers.RMSprop, {"alpha": 0.9, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0}),
        Target("Adam", optimizers.Adam, {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0}),
        Target("AdamW", optimizers.AdamW, {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0}),
        Target("cosine", schedules.cosine, {"learning_rate": 0.1, "steps": 9, "warmup": 2}),
        Target("constant", schedules.constant, {"learning_rate": 0.1, "steps": 9, "warmup": 2}),
        Target("ReduceOnPlateau", schedules.ReduceOnPlateau, {"factor": 0.5, "patience": 1}),
        Target("Vocabulary", bptt.text.Vocabulary, {"characters": "abc"}),
        Target("Vocabulary.encode", vocabulary.encode, {"text": "abca"}),
        Target("Vocabulary.decode", vocabulary.decode, {"tokens": [0, 1]}),
        Target("ByteVocabulary.encode", bptt.text.ByteVocabulary().encode, {"text": "abca"}),
        Target("ByteVocabulary.decode", bptt.text.ByteVocabulary().decode, {"tokens": [0, 1]}),
        Target("witten_bell", bptt.text.witten_bell, {"train": numbers, "test": numbers, "symbols": 5, "order": 2}),
        Target("CharLM", bptt.text.CharLM, {"cell": "gru", "hidden_size": 4, "num_layers": 1, "embedding_size": 3,
               "dropout": 0.1, "seed": 0}),
        Target("CharLM.fit", lambda **options: bptt.text.CharLM(hidden_size=4, embedding_size=3).fit(**options),
               {"text": text, "streams": 2, "window": 8, "epochs": 1, "progress": False}),
        Target("CharLM.evaluate", lm.evaluate, {"text": text[:200]}),
        Target("CharLM.sample", lm.sample, {"prompt": "the", "length": 3, "temperature": 1.0, "top_k": 3, "top_p": 0.9,
               "seed": 0}),
        Target("CharLM.save", lm.save, {"path": folder / "saved.bptt"}),
        Target("CharLM.load", bptt.text.CharLM.load, {"path": lm_path}),
        *(Target(f"forecast.{model.__name__}", model, network) for model in models),
        Target("forecast.Pretrained", bptt.forecast.Pretrained, {"h": 2}),
        Target("ConformalIntervals", bptt.forecast.ConformalIntervals, {}),
        Target("Forecaster", bptt.forecast.Forecaster, {"models": [models[1](**network)], "freq": "D"}),
        Target("Forecaster.fit",
               lambda **options: bptt.forecast.Forecaster(models=[models[1](**network)], freq="D").fit(**options),
               {"df": frame}),
        Target("Forecaster.predict", forecaster.predict, {}),
        Target("Forecaster.cross_validation", forecaster.cross_validation,
               {"df": frame, "n_windows": 1}),
        Target("Forecaster.save", forecaster.save, {"path": folder / "saved.forecaster"}),
        Target("Forecaster.load", bptt.forecast.Forecaster.load, {"path": forecaster_path}),
        Target("fill_gaps", bptt.forecast.fill_gaps, {"df": frame, "freq": "D"}),
        Target("generate_series", bptt.forecast.generate_series, {"n_series": 2, "freq": "D", "min_length": 9,
               "max_length": 12, "seed": 0}),
        Target("plot", bptt.forecast.plot, {"df": frame}),
        Target("check_cell", testing.check_cell, {"cell": CELLS["gru"], "reference": None, "sizes": [(1, 1, 1, 1)],
               "dtypes": ("float32",), "seed": 0}),
    ]  # fmt: skip
    return found


def names_of(target: Target) -> list[str]:
    """All arguments of a target; a method's behind a lambda are those that are given."""
    names = {
        name
        for name, parameter in inspect.signature(target.call).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    return sorted(names | set(target.good))


def fits(name: str, value: Any) -> bool:
    """Whether this value of this argument is a mistake that is to be answered, and no endless work."""
    return not (
        name in LONG and isinstance(value, int | float | np.number) and not isinstance(value, bool) and value > HUGE
    )


def complaint(target: Target, names: list[str], given: dict[str, Any]) -> str | None:
    """What is wrong with how the target answers; None where nothing is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.call(**given)
    except ACCEPTED as error:
        if isinstance(error, AttributeError):
            return f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.filename:
            return None  # it names the file
        if any(str(error).startswith(f"{value}:") for value in given.values() if isinstance(value, str | Path)):
            return None  # so does what is wrong with the file's content
        if any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in names):
            return None
        return f"{NAMES_NOTHING}: {type(error).__name__}: {error}"
    except AssertionError as error:
        return None if target.name == "check_cell" and str(error) else f"AssertionError: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main(seed: int, calls: int) -> None:
    """Print what went wrong."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        found = targets(Path(folder))
        weights = [0.2 if target.name in SLOW else 1.0 for target in found]
        for number in range(calls):
            target = rng.choices(found, weights)[0]
            names = names_of(target)
            given = dict(target.good)
            for name in rng.sample(names, min(len(names), rng.choice((1, 1, 1, 2)))):
                value = rng.choice(AWKWARD)
                if fits(name, value):
                    given[name] = value
            # What the process was doing, should it end here.
            shown = {name: repr(value)[:60] for name, value in given.items() if value is not target.good.get(name)}
            print(json.dumps({"call": number, "of": target.name, "with": shown}), file=sys.stderr, flush=True)
            wrong = complaint(target, names, given)
            if wrong is not None:
                print(json.dumps({"of": target.name, "with": shown, "wrong": wrong[:400]}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
