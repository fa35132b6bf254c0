"""Layers own their memory: copies train, what is assigned is copied in, backward uses what forward used."""

import concurrent.futures
import copy
import dataclasses
import multiprocessing
import pickle

import numpy as np
import pytest

import bptt
from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import Trainer

ONES = np.ones((7, 2, 3), "float32")

RECURRENT = {
    "rnn": lambda **options: bptt.RNN(3, 5, 2, nonlinearity="relu", **options),
    "gru": lambda **options: bptt.GRU(3, 5, 2, **options),
    "lstm": lambda **options: bptt.LSTM(3, 5, 2, **options),
}
MODULES = RECURRENT | {
    "linear": lambda **options: bptt.Linear(3, 5, **options),
    "embedding": lambda **options: bptt.Embedding(4, 3, **options),
    "sequence model": lambda **options: SequenceModel(
        vocabulary_size=4, embedding_size=3, hidden_size=5, num_layers=2, **options
    ),
}


def through_pickle(module):
    return pickle.loads(pickle.dumps(module))


def through_read_only_buffers(module):
    buffers = []
    data = pickle.dumps(module, 5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer.raw()) for buffer in buffers])


every_module = pytest.mark.parametrize("name", MODULES)
every_recurrent = pytest.mark.parametrize("name", RECURRENT)
every_copy = pytest.mark.parametrize("duplicate", [copy.deepcopy, through_pickle, through_read_only_buffers])


def outputs(module):
    """What the module computes, by whatever way it does."""
    if isinstance(module, bptt.Linear):
        return module(ONES.astype(module.dtype))
    if isinstance(module, bptt.Embedding):
        return module([0, 1, 2, 3])
    if isinstance(module, SequenceModel):
        return Trainer(module, streams=1, window=3).run(np.array([[0, 1, 2, 3]]), 0, [0.0]).loss
    return module(ONES.astype(module.dtype))[0]


def shifted(module):
    """Its outputs after a change of the flat vector, which is then undone."""
    module.flat += 1
    result = outputs(module)
    module.flat -= 1
    return result


@every_module
@every_copy
def test_a_copy_trains_and_the_original_stays(name, duplicate):
    module = MODULES[name](seed=3, dtype="float64")
    before = outputs(module)
    twin = duplicate(module)
    np.testing.assert_array_equal(outputs(twin), before)
    expected = shifted(module)
    twin.flat += 1
    np.testing.assert_allclose(outputs(twin), expected)
    assert not np.allclose(expected, before)
    np.testing.assert_allclose(outputs(module), before)
    for part in twin.parameters.values():
        assert np.shares_memory(part, twin.flat)
        assert not np.shares_memory(part, module.flat)


@every_module
def test_a_shallow_copy_shares_its_parameters_as_in_pytorch(name):
    module = MODULES[name](seed=3)
    twin = copy.copy(module)
    twin.flat *= 2
    np.testing.assert_array_equal(twin.flat, module.flat)
    np.testing.assert_array_equal(outputs(twin), outputs(module))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, through_pickle])
def test_a_copied_trainer_trains_its_own_model(duplicate):
    trainer = Trainer(MODULES["sequence model"](seed=3), streams=1, window=3, seed=0)
    tokens, rates = np.array([[0, 1, 2, 3, 2, 1, 0]]), [0.1, 0.1]
    trainer.run(tokens, 0, rates)
    twin, before = duplicate(trainer), trainer.model.flat.copy()
    record = twin.run(tokens, 0, rates)
    np.testing.assert_array_equal(trainer.model.flat, before)
    np.testing.assert_array_equal(trainer.run(tokens, 0, rates).loss, record.loss)
    np.testing.assert_array_equal(trainer.model.flat, twin.model.flat)
    assert not np.array_equal(twin.model.flat, before)


def trained(module):
    module.flat -= 1
    return module


def test_layers_go_through_a_process_pool():
    modules = [make(seed=1) for make in MODULES.values()]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        for module, back in zip(modules, pool.map(trained, modules), strict=True):
            module.flat -= 1
            np.testing.assert_array_equal(outputs(back), outputs(module))
            back.flat *= 0
            assert not any(part.any() for part in back.parameters.values())


@every_module
def test_what_is_assigned_is_copied_in(name):
    module, other = MODULES[name](seed=3), MODULES[name](seed=4)
    expected = outputs(other)
    value = other.flat.copy()
    module.flat = value
    np.testing.assert_array_equal(outputs(module), expected)
    value[...] = 7
    np.testing.assert_array_equal(outputs(module), expected)
    module.flat = np.zeros_like(value)
    for key, part in other.parameters.items():
        module.parameters[key] = part.tolist()
    np.testing.assert_array_equal(outputs(module), expected)
    for key, part in module.parameters.items():
        module.parameters[key] += 1
        np.testing.assert_array_equal(part, other.parameters[key] + 1)
        assert np.shares_memory(part, module.flat)


@every_module
def test_what_does_not_fit_is_refused_and_changes_nothing(name):
    module = MODULES[name](seed=3)
    before, size = module.flat.copy(), module.flat.size
    for key, part in module.parameters.items():
        wrong = np.zeros((*part.shape[:-1], part.shape[-1] + 1), "float32")
        shapes = rf"parameters\['{key}'\].*{part.shape}.*{wrong.shape}".replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(ValueError, match=shapes):
            module.parameters[key] = wrong
        with pytest.raises(ValueError, match=rf"parameters\['{key}'\] must be finite"):
            module.parameters[key] = np.full(part.shape, np.nan)
        with pytest.raises(TypeError, match=rf"parameters\['{key}'\] must hold real numbers"):
            module.parameters[key] = np.full(part.shape, "a")
        with pytest.raises(TypeError, match="cannot be deleted"):
            del module.parameters[key]
    with pytest.raises(ValueError, match=rf"flat must have shape \({size},\); got \({size + 1},\)"):
        module.flat = np.zeros(size + 1)
    with pytest.raises(ValueError, match="flat must not have masked entries"):
        module.flat = np.ma.array(before, mask=before > 0)
    with pytest.raises(KeyError, match="no name 'wieght'"):
        module.parameters["wieght"] = before
    with pytest.raises(AttributeError, match="cannot be replaced"):
        module.parameters = dict(module.parameters)
    np.testing.assert_array_equal(module.flat, before)


@every_module
def test_changing_the_shape_of_a_view_changes_nothing_in_the_layer(name):
    """Compiled code reads the layer's own views: another shape there was a segmentation fault."""
    module = MODULES[name](seed=3)
    expected = outputs(module)
    for part in module.parameters.values():
        part.shape = part.shape[::-1]
    module.flat.shape = (1, -1)
    np.testing.assert_array_equal(outputs(module), expected)


@every_module
def test_sizes_are_read_only(name):
    module = MODULES[name](seed=3)
    fixed = type(module)._fixed
    assert {"dtype", "seed"} < fixed
    for attribute in fixed:
        with pytest.raises(AttributeError, match=rf"^{attribute} of a {type(module).__name__} is set when"):
            setattr(module, attribute, 7)
        with pytest.raises(AttributeError, match=attribute):
            delattr(module, attribute)
    outputs(module)


def gradients(layer, tape, y):
    g = layer.backward(np.ones_like(y), tape)
    return [g.x, *g.parameters.values()]


def assert_equal(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@every_recurrent
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("shape", [(7, 2, 3), (1, 4, 3), (5, 1, 3)])
def test_backward_does_not_see_that_x_was_used_again(name, batch_first, shape):
    layer = RECURRENT[name](seed=3, batch_first=batch_first)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    y, _, tape = layer.forward(x)
    expected = gradients(layer, tape, y)
    x[...] = 0
    assert_equal(gradients(layer, tape, y), expected)


@every_recurrent
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_changed_parameters_are_refused(name, dtype):
    layer = RECURRENT[name](seed=3, dtype=dtype)
    y, _, tape = layer.forward(ONES.astype(dtype))
    expected = gradients(layer, tape, y)
    for index in range(layer.flat.size):
        before = layer.flat[index]
        layer.flat[index] = np.nextafter(before, before.dtype.type(9))
        with pytest.raises(RuntimeError, match=r"parameters of \w+\(3, 5.* have changed since the forward"):
            gradients(layer, tape, y)
        layer.flat[index] = before
    for change in (lambda flat: -flat, lambda flat: flat[::-1], lambda flat: flat * 2):
        before = layer.flat.copy()
        layer.flat = change(layer.flat)
        with pytest.raises(RuntimeError, match="have changed"):
            gradients(layer, tape, y)
        layer.flat = before
    assert_equal(gradients(layer, tape, y), expected)


@every_recurrent
@every_copy
def test_copies_of_layer_and_tape_belong_together(name, duplicate):
    layer = RECURRENT[name](seed=3, dropout=0.5)
    y, _, tape = layer.forward(ONES, lengths=[3, 7])
    expected = gradients(layer, tape, y)
    twin, tape_twin = duplicate(layer), duplicate(tape)
    for owner in (layer, twin):
        for copied in (tape, tape_twin):
            assert_equal(gradients(owner, copied, y), expected)
    twin.flat += 1
    with pytest.raises(RuntimeError, match="have changed"):
        gradients(twin, tape_twin, y)
    stranger = RECURRENT[name](seed=3, dropout=0.5)
    stranger.load_state_dict(layer.state_dict())
    with pytest.raises(ValueError, match="tape must come from the forward of this layer"):
        gradients(stranger, tape, y)


def test_a_tape_of_other_shapes_does_not_reach_compiled_code():
    layer = bptt.GRU(3, 5, 2, seed=0)
    y, _, tape = layer.forward(ONES)
    for wrong in (
        {"s": tape.s[:1], "a": tape.a[:1]},
        {"x": tape.x[:4], "s": tape.s[:, :3], "a": tape.a[:, :2]},
        {"x": tape.x[:, :2]},
        {"a": tape.a.astype("float64")},
        {"a": tape.a[:, ::2]},
        {"y": tape.s[:1, 1:]},
        {"masks": 0},
    ):
        with pytest.raises(ValueError, match="tape must come from"):
            gradients(layer, dataclasses.replace(tape, **wrong), y)


def test_the_dropout_rate_of_the_forward_pass_is_that_of_the_backward_pass():
    layer = bptt.GRU(3, 5, 2, seed=0, dropout=0.5)
    y, _, tape = layer.forward(ONES)
    expected = gradients(layer, tape, y)
    layer.dropout = 0.1
    layer.eval()
    assert_equal(gradients(layer, tape, y), expected)
    for wrong in (1.0, "x", None):
        with pytest.raises((TypeError, ValueError), match="dropout must be"):
            layer.dropout = wrong


@every_recurrent
def test_no_later_call_writes_into_what_was_returned(name):
    layer = RECURRENT[name](seed=3, dropout=0.5)
    # Large enough for the stock of memory that is used again.
    x = np.random.default_rng(0).normal(size=(120, 90, 3)).astype("float32")
    y, state, tape = layer.forward(x)
    g = layer.backward(np.ones_like(y), tape, errors=layer.cell.states)
    called, _ = layer(x)
    held = [y, called, g.x, *g.errors.values(), *g.parameters.values(), *tape.h, *tape.layers[1].gates.values()]
    held += [*state] if isinstance(state, tuple) else [state]
    before = [array.copy() for array in held]
    del tape
    for _ in range(2):
        other, _, tape = layer.forward(-x)
        layer.backward(np.ones_like(other), tape, errors="h")
        layer(2 * x)
    assert_equal(held, before)


def test_states_and_gates_on_the_tape_cannot_be_written_to():
    _, _, tape = bptt.LSTM(3, 5, seed=0).forward(ONES)
    for array in (tape.h[0], tape.layers[0].c, tape.layers[0].gates["f"]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_reprs_are_one_line():
    layer = bptt.LSTM(3, 5, 2, seed=0)
    y, _, tape = layer.forward(ONES)
    assert repr(tape) == "Tape(lstm, x (14, 3), s (2, 8, 2, 10), a (2, 7, 2, 20), float32)"
    assert repr(tape.layers[1]) == "LayerTape(lstm, T=7, B=2, H=5, float32)"
    assert repr(layer.backward(y, tape, errors="h")) == (
        "Gradients(x (7, 2, 3), state (2, 2, 5) (2, 2, 5), 8 parameters of 440 numbers, errors h (2, 7, 2, 5), float32)"
    )
    assert repr(bptt.Linear(3, 5).parameters) == "Parameters(weight (5, 3), bias (5,))"
