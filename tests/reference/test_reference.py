"""The oracles check themselves: complex step and central differences, loops against loops."""

from itertools import pairwise

import numpy as np
import pytest

from . import REFERENCES, stack, training

SHAPES = [(4, 3, 2, 5, 1), (1, 1, 1, 1, 1), (3, 2, 4, 3, 2), (5, 1, 3, 2, 3)]


def problem(cell, T, B, I, H, L, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(T, B, I))
    state = tuple(rng.normal(size=(L, B, H)) for _ in range(cell.states))
    named = stack.shapes(cell.gates, I, H, L)
    parameters = {name: rng.uniform(-0.8, 0.8, size=shape) for name, shape in named.items()}
    dy = rng.normal(size=(T, B, H))
    dstate = tuple(rng.normal(size=(L, B, H)) for _ in range(cell.states))
    return x, state, parameters, dy, dstate


def loss(cell, x, state, parameters, dy, dstate):
    y, last, _ = stack.forward(cell, x, state, parameters)
    return (y * dy).sum() + sum((part * d).sum() for part, d in zip(last, dstate, strict=True))


def places(cell, x, state, parameters):
    """Everything a loss can be differentiated by: (label, array, set a new array)."""
    yield "x", x, lambda new: (new, state, parameters)
    for k, part in enumerate(state):
        yield f"state {k}", part, lambda new, k=k: (x, (*state[:k], new, *state[k + 1 :]), parameters)
    for name, value in parameters.items():
        yield name, value, lambda new, name=name: (x, state, parameters | {name: new})


def gradient_of(g, label):
    return g["state"][int(label.split()[1])] if label.startswith("state") else g[label]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", REFERENCES)
def test_complex_step_of_every_entry(name, shape):
    cell = REFERENCES[name]
    x, state, parameters, dy, dstate = problem(cell, *shape)
    _, _, traces = stack.forward(cell, x, state, parameters)
    g = stack.backward(cell, dy, dstate, traces, parameters)
    for label, value, put in places(cell, x, state, parameters):
        exact = np.empty_like(value)
        for index in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[index] += 1e-30j
            exact[index] = loss(cell, *put(moved), dy, dstate).imag / 1e-30
        np.testing.assert_allclose(gradient_of(g, label), exact, rtol=1e-12, atol=1e-13, err_msg=label)


@pytest.mark.parametrize("name", REFERENCES)
def test_central_differences(name):
    # Real arithmetic only: an operation that is not analytic would not show in a complex step.
    cell = REFERENCES[name]
    x, state, parameters, dy, dstate = problem(cell, 4, 2, 3, 4, 2, seed=1)
    _, _, traces = stack.forward(cell, x, state, parameters)
    g = stack.backward(cell, dy, dstate, traces, parameters)
    rng = np.random.default_rng(2)
    for label, value, put in places(cell, x, state, parameters):
        v = rng.normal(size=value.shape)
        plus = loss(cell, *put(value + 1e-5 * v), dy, dstate)
        minus = loss(cell, *put(value - 1e-5 * v), dy, dstate)
        slope = (gradient_of(g, label) * v).sum()
        np.testing.assert_allclose((plus - minus) / 2e-5, slope, rtol=1e-7, atol=1e-8, err_msg=label)


@pytest.mark.parametrize("name", REFERENCES)
def test_errors_are_what_a_nudge_of_the_output_costs(name):
    # dL/dh_t of the top layer: cut the sequence behind step t and start the rest from a nudged h.
    cell = REFERENCES[name]
    T, B, H = 5, 2, 3
    x, state, parameters, dy, dstate = problem(cell, T, B, 4, H, 1, seed=3)
    _, _, traces = stack.forward(cell, x, state, parameters)
    errors = stack.backward(cell, dy, dstate, traces, parameters)["errors"][0]
    for t in range(T):
        _, middle, _ = stack.forward(cell, x[: t + 1], state, parameters)
        v = np.random.default_rng(t).normal(size=(B, H))
        h = middle[0] + 1e-30j * v
        middle = (h, *middle[1:])
        cost = (h[0] * dy[t]).sum()
        if t + 1 < T:
            cost += loss(cell, x[t + 1 :], middle, parameters, dy[t + 1 :], dstate)
        else:
            cost += (h * dstate[0]).sum()
        np.testing.assert_allclose(cost.imag / 1e-30, (errors[t] * v).sum(), rtol=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
def test_float32_stays_float32(name):
    cell = REFERENCES[name]
    x, state, parameters, dy, dstate = problem(cell, 3, 2, 2, 3, 2)
    x, dy = x.astype("f4"), dy.astype("f4")
    state, dstate = (tuple(part.astype("f4") for part in s) for s in (state, dstate))
    parameters = {key: value.astype("f4") for key, value in parameters.items()}
    y, last, traces = stack.forward(cell, x, state, parameters)
    g = stack.backward(cell, dy, dstate, traces, parameters)
    arrays = [y, *last, g["x"], *g["state"], g["errors"], *(g[key] for key in parameters)]
    assert {array.dtype for array in arrays} == {np.dtype("f4")}


def model(cell, V, E, H, L, seed):
    rng = np.random.default_rng(seed)
    named = {"embedding.weight": (V, E)}
    named |= {"rnn." + name: shape for name, shape in stack.shapes(cell.gates, E, H, L).items()}
    named |= {"head.weight": (V, H), "head.bias": (V,)}
    return {name: rng.normal(scale=0.5, size=shape) for name, shape in named.items()}


def total_loss(cell, theta, tokens):
    """Full BPTT's loss, one character at a time: nothing in common with `Training` but the cell."""
    rnn = {name[4:]: value for name, value in theta.items() if name.startswith("rnn.")}
    L, H = sum("weight_hh" in name for name in rnn), rnn["weight_hh_l0"].shape[1]
    total = 0
    for stream in tokens:
        state = (np.zeros((L, 1, H)),) * cell.states
        for token, target in pairwise(stream):
            y, state, _ = stack.forward(cell, theta["embedding.weight"][token][None, None], state, rnn)
            logits = theta["head.weight"] @ y[0, 0] + theta["head.bias"]
            total = total - logits[target] + np.log(np.exp(logits).sum())
    return total / tokens[:, 1:].size


@pytest.mark.parametrize("name", REFERENCES)
def test_one_window_over_everything_is_full_bptt(name):
    cell = REFERENCES[name]
    theta = model(cell, V=4, E=3, H=3, L=2, seed=4)
    tokens = np.random.default_rng(5).integers(4, size=(2, 7))
    run = training.Training(cell, theta, k1=6, k2=6, optimizer=training.SGD())
    loss, norm = run.window(tokens, 0, 0.0)
    np.testing.assert_allclose(loss, total_loss(cell, theta, tokens), rtol=1e-12)
    for key, value in theta.items():
        v = np.random.default_rng(6).normal(size=value.shape)
        slope = total_loss(cell, theta | {key: value + 1e-30j * v}, tokens).imag / 1e-30
        np.testing.assert_allclose((run.grad[key] * v).sum(), slope, rtol=1e-11, atol=1e-14, err_msg=key)
    np.testing.assert_allclose(norm, np.sqrt(sum((g**2).sum() for g in run.grad.values())), rtol=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_tape_that_reaches_the_reset_gives_the_full_gradient(name):
    # With weights that do not move, windows of k1 with k2 = everything add up to full BPTT.
    cell = REFERENCES[name]
    theta = model(cell, V=4, E=3, H=3, L=2, seed=7)
    tokens = np.random.default_rng(8).integers(4, size=(2, 9))
    full = training.Training(cell, theta, k1=8, k2=8, optimizer=training.SGD())
    full.window(tokens, 0, 0.0)
    parts = training.Training(cell, theta, k1=2, k2=8, optimizer=training.SGD())
    total = dict.fromkeys(theta, 0.0)
    for w in range(4):
        parts.window(tokens, 2 * w, 0.0)
        total = {key: total[key] + parts.grad[key] / 4 for key in theta}
    for key in theta:
        np.testing.assert_allclose(total[key], full.grad[key], rtol=1e-10, atol=1e-14, err_msg=key)


def test_a_longer_memory_changes_the_gradient():
    cell = REFERENCES["gru"]
    theta = model(cell, V=4, E=3, H=3, L=1, seed=9)
    tokens = np.random.default_rng(10).integers(4, size=(2, 9))
    short = training.Training(cell, theta, k1=2, k2=2, optimizer=training.SGD())
    long = training.Training(cell, theta, k1=2, k2=5, optimizer=training.SGD())
    for run in (short, long):
        run.run(tokens, 0, [0.0, 0.0, 0.0])
    assert np.abs(short.grad["rnn.weight_hh_l0"] - long.grad["rnn.weight_hh_l0"]).max() > 1e-4
    np.testing.assert_array_equal(short.grad["head.weight"], long.grad["head.weight"])
