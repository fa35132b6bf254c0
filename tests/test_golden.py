"""Parity with PyTorch without PyTorch: the files that tests/golden/make_golden.py wrote with it."""

import json
from pathlib import Path

import numpy as np
import pytest

from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import Trainer
from bptt.training.optimizers import SGD, Adam
from problem import LAYERS, every_dtype
from reference import REFERENCES, stack, training

GOLDEN = Path(__file__).parent / "golden"
# The cells that PyTorch has, so that make_golden.py can write their files; any other has its reference alone.
every_pytorch_cell = pytest.mark.parametrize("name", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def load(file, prefix):
    with np.load(GOLDEN / f"{file}.npz") as arrays:
        return {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}


def named(layout, flat):
    """The parameters that a flat vector holds, under PyTorch's names."""
    shapes = {key: tuple(shape) for key, shape in json.loads(str(layout))}
    parts = np.split(flat, np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1])
    return {key: part.reshape(shape) for (key, shape), part in zip(shapes.items(), parts, strict=True)}


def close(got, expected, dtype, label):
    assert got.shape == expected.shape, label
    assert got.dtype == expected.dtype == dtype, label
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert error <= TOLERANCE[dtype], f"{label}: {error:.2e} of the largest entry"


@pytest.mark.interpreted
@every_pytorch_cell
@every_dtype
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_forward_and_backward(name, dtype, num_layers):
    golden = load(name, f"{num_layers}-{dtype}-")
    parameters = named(golden["layout"], golden["parameters"])
    (_, _, I), (_, _, _, H) = golden["x"].shape, golden["state"].shape
    layer = LAYERS[name](I, H, num_layers, dtype=dtype)
    assert {key: value.shape for key, value in layer.parameters.items()} == {k: v.shape for k, v in parameters.items()}
    assert list(layer.parameters) == list(parameters)
    layer.load_state_dict(parameters)
    as_state = lambda parts: tuple(parts) if len(parts) > 1 else parts[0]  # noqa: E731
    as_array = lambda state: np.stack(state) if isinstance(state, tuple) else state[None]  # noqa: E731
    y, last, tape = layer.forward(golden["x"], as_state(golden["state"]))
    g = layer.backward(golden["dy"], tape, as_state(golden["dlast"]))
    close(y, golden["y"], dtype, "y")
    close(as_array(last), golden["last"], dtype, "last")
    close(g.x, golden["dx"], dtype, "dx")
    close(as_array(g.state), golden["dstate"], dtype, "dstate")
    for key, value in named(golden["layout"], golden["gradients"]).items():
        close(g.parameters[key], value, dtype, key)


@every_pytorch_cell
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_reference_agrees_with_pytorch_too(name, num_layers):
    golden = load(name, f"{num_layers}-float64-")
    cell, parameters = REFERENCES[name], named(golden["layout"], golden["parameters"])
    y, last, traces = stack.forward(cell, golden["x"], tuple(golden["state"]), parameters)
    g = stack.backward(cell, golden["dy"], tuple(golden["dlast"]), traces, parameters)
    close(y, golden["y"], "float64", "y")
    close(np.stack(last), golden["last"], "float64", "last")
    close(g["x"], golden["dx"], "float64", "dx")
    close(np.stack(g["state"]), golden["dstate"], "float64", "dstate")
    for key, value in named(golden["layout"], golden["gradients"]).items():
        close(g[key], value, "float64", key)


def training_run(name, optimizer):
    golden = load("training", f"{name}-")
    settings, tokens = load("training", "settings")[""], load("training", "tokens")[""]
    settings = json.loads(str(settings))
    return settings, tokens.astype(np.int32), named(golden["layout"], golden["parameters"]), golden


@every_pytorch_cell
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@every_dtype
def test_200_steps_of_training(name, optimizer, dtype, jit_disabled):
    settings, tokens, parameters, golden = training_run(name, optimizer)
    nonlinearity = name.removeprefix("rnn_") if name.startswith("rnn") else "tanh"
    model = SequenceModel(
        cell=name.split("_")[0],
        vocabulary_size=settings["vocabulary_size"],
        embedding_size=settings["embedding_size"],
        hidden_size=settings["hidden_size"],
        num_layers=1,
        nonlinearity=nonlinearity,
        dropout=0.0,
        dtype=dtype,
    )
    assert list(model.parameters) == list(parameters)
    model.load_state_dict(parameters)
    options = settings[optimizer]
    rule = SGD(momentum=options["momentum"]) if optimizer == "sgd" else Adam()
    trainer = Trainer(
        model,
        streams=settings["streams"],
        window=settings["window"],
        optimizer=rule,
        clip_norm=settings["clip_norm"],
    )
    steps = 20 if jit_disabled else settings["steps"]
    record = trainer.run(tokens, 0, np.full(steps, options["learning_rate"]))
    # Float64 rounding is the only freedom; float32 drifts, and PyTorch's own float32 run with it.
    tolerance = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(record.loss, golden[f"{optimizer}-{dtype}-losses"][:steps], rtol=0, atol=tolerance)
    np.testing.assert_allclose(record.norm, golden[f"{optimizer}-{dtype}-norms"][:steps], rtol=0, atol=10 * tolerance)
    assert trainer.steps == steps


@every_pytorch_cell
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_naive_training_agrees_with_pytorch_too(name, optimizer):
    settings, tokens, parameters, golden = training_run(name, optimizer)
    options = settings[optimizer]
    rule = training.SGD(momentum=options["momentum"]) if optimizer == "sgd" else training.Adam()
    k = settings["window"]
    run = training.Training(REFERENCES[name], parameters, k, k, rule, clip_norm=settings["clip_norm"])
    losses, norms = run.run(tokens, 0, np.full(settings["steps"], options["learning_rate"]))
    np.testing.assert_allclose(losses, golden[f"{optimizer}-float64-losses"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(norms, golden[f"{optimizer}-float64-norms"], rtol=0, atol=1e-9)


def test_the_files_stay_small():
    assert sum(path.stat().st_size for path in GOLDEN.glob("*.npz")) <= 300_000
