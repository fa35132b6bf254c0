"""A layer with random numbers all around it: what most tests of layers begin with."""

from functools import partial

import numpy as np
import pytest

import bptt
from bptt.cells.table import CELLS
from bptt.network.layers import Recurrent
from reference import REFERENCES, stack

# A cell without a layer of its own runs in the class that they have in common.
LAYERS = {name: partial(Recurrent, cell) for name, cell in CELLS.items()} | {
    "rnn_tanh": lambda *sizes, **options: bptt.RNN(*sizes, nonlinearity="tanh", **options),
    "rnn_identity": lambda *sizes, **options: bptt.RNN(*sizes, nonlinearity="identity", **options),
    "rnn_relu": lambda *sizes, **options: bptt.RNN(*sizes, nonlinearity="relu", **options),
    "gru": bptt.GRU,
    "lstm": bptt.LSTM,
}
EPS = {"float32": float(np.finfo("f4").eps), "float64": float(np.finfo("f8").eps)}
every_cell = pytest.mark.parametrize("name", CELLS)
every_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def as_state(parts):
    return tuple(parts) if len(parts) > 1 else parts[0]


class Problem:
    """A public layer with random parameters, and random inputs, states and errors of its dtype."""

    def __init__(self, name, T, B, I, H, L, seed=0, dtype="float64", **options):
        rng = np.random.default_rng(seed)
        options = {"seed": 0, **options}
        self.cell, self.layer = REFERENCES[name], LAYERS[name](I, H, L, dtype=dtype, **options)
        for value in self.layer.parameters.values():
            bound = np.sqrt(3 / value.shape[1]) if value.ndim == 2 else 1.0
            value[...] = rng.uniform(-bound, bound, value.shape)
        self.x, self.dy = rng.normal(size=(T, B, I)).astype(dtype), rng.normal(size=(T, B, H)).astype(dtype)
        self.state, self.dstate = (
            tuple(rng.normal(size=(L, B, H)).astype(dtype) for _ in range(self.cell.states)) for _ in range(2)
        )
        self.tolerance = EPS[dtype] * (100 + 4 * T * L * (I + H))

    def run(self, x=None, state=None):
        x = self.x if x is None else x
        y, last, tape = self.layer.forward(x, as_state(self.state if state is None else state))
        return y, as_tuple(last), tape

    def backward(self, tape, dy=None, dstate=None):
        g = self.layer.backward(self.dy if dy is None else dy, tape, as_state(dstate or self.dstate), errors="h")
        return named(g)

    def loss(self, **where):
        y, last, _ = self.run(**where)
        return (y * self.dy).sum() + sum((p * d).sum() for p, d in zip(last, self.dstate, strict=True))

    def reference(self, dy=None, dstate=None):
        """Naive y, last state, gradients in float64; and the traces."""
        up = lambda v: v.astype(np.float64)  # noqa: E731
        parameters = {key: up(value) for key, value in self.layer.parameters.items()}
        y, last, traces = stack.forward(self.cell, up(self.x), tuple(map(up, self.state)), parameters)
        dy = self.dy if dy is None else dy
        g = stack.backward(self.cell, up(dy), tuple(map(up, dstate or self.dstate)), traces, parameters)
        g |= {f"state {k}": part for k, part in enumerate(g.pop("state"))}
        return y, last, g, traces

    def check(self):
        """Forward and backward against the naive loops."""
        y, last, tape = self.run()
        y_expected, last_expected, expected, _ = self.reference()
        got = self.backward(tape)
        close(y, y_expected, self.tolerance, "y")
        for part, part_expected in zip(last, last_expected, strict=True):
            close(part, part_expected, self.tolerance, "last state")
        # One scale for all: an entry alone (H = 1) may be the small difference of two large terms.
        largest = max(np.abs(value).max() for value in expected.values())
        for key, value in expected.items():
            assert got[key].shape == value.shape, key
            error = np.abs(got[key] - value).max()
            assert error <= self.tolerance * max(np.abs(value).max(), 0.1 * largest), f"{key}: off by {error}"

    def places(self):
        """All that the loss depends on: name, value, and the loss at another value."""
        yield "x", self.x, lambda v: self.loss(x=v)
        for k, part in enumerate(self.state):
            yield (
                f"state {k}",
                part,
                lambda v, k=k: self.loss(state=(*self.state[:k], v, *self.state[k + 1 :])),
            )
        for key, view in self.layer.parameters.items():
            yield key, view.copy(), lambda v, view=view: self.with_parameter(view, v)

    def with_parameter(self, view, value):
        before = view.copy()
        view[...] = value
        result = self.loss()
        view[...] = before
        return result


def named(g):
    return (
        {"x": g.x, "errors": g.errors["h"]} | g.parameters | {f"state {k}": p for k, p in enumerate(as_tuple(g.state))}
    )


def close(got, expected, tolerance, label=""):
    """Relative to the largest entry."""
    assert got.shape == expected.shape, label
    error, largest = np.abs(got - expected).max(), np.abs(expected).max()
    assert error <= tolerance * largest, f"{label}: {error / largest:.2e} of the largest entry"


def slopes(f, value, step=1e-6):
    """df/dvalue by central differences, entry by entry; `value` is changed in place and restored."""
    result = np.empty_like(value)
    for index in np.ndindex(value.shape):
        before = value[index]
        value[index] = before + step
        up = f()
        value[index] = before - step
        result[index] = (up - f()) / (2 * step)
        value[index] = before
    return result
