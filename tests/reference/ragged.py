"""Sequences of unequal lengths, and states dropped on the way: each row alone, cut where its state is dropped.

lengths (B,), reset (T,B); the rest is as in `stack`. A trace is a dict from (row, first step) to the piece's traces.
"""

from itertools import pairwise

import numpy as np

from . import stack


def pieces(lengths, reset):
    """Row, first step, step after the last."""
    for b, length in enumerate(lengths):
        cuts = [0, *(t for t in range(1, length) if reset[t, b]), length]
        for first, stop in pairwise(cuts):
            yield b, first, stop


def forward(cell, x, state, parameters, lengths, reset):
    """y (0 after a row's end), each row's own last state, traces."""
    kind = np.result_type(x, *state, *parameters.values())
    y = np.zeros((*x.shape[:2], state[0].shape[2]), kind)
    last, traces = tuple(part.astype(kind) for part in state), {}
    for b, first, stop in pieces(lengths, reset):
        row = slice(b, b + 1)
        carried = first == 0 and not reset[0, b]
        start = tuple(part[:, row] if carried else np.zeros_like(part[:, row]) for part in state)
        y[first:stop, row], end, traces[b, first] = stack.forward(cell, x[first:stop, row], start, parameters)
        for whole, part in zip(last, end, strict=True):
            whole[:, row] = part
    return y, last, traces


def backward(cell, dy, dstate, traces, parameters, lengths, reset):
    """Gradients as of `stack.backward`; those of an initial state that was dropped are 0."""
    layers, (T, B, H) = dstate[0].shape[0], dy.shape
    inputs = parameters["weight_ih_l0"].shape[1]
    total = {name: np.zeros_like(value) for name, value in parameters.items()}
    total |= {"x": np.zeros((T, B, inputs)), "errors": np.zeros((layers, T, B, H))}
    total["state"] = tuple(np.zeros_like(part) for part in dstate)
    for b, first, stop in pieces(lengths, reset):
        row = slice(b, b + 1)
        end = tuple(part[:, row] if stop == lengths[b] else np.zeros_like(part[:, row]) for part in dstate)
        g = stack.backward(cell, dy[first:stop, row], end, traces[b, first], parameters)
        total["x"][first:stop, row], total["errors"][:, first:stop, row] = g["x"], g["errors"]
        if first == 0 and not reset[0, b]:
            for whole, part in zip(total["state"], g["state"], strict=True):
                whole[:, row] = part
        for name in parameters:
            total[name] += g[name]
    return total
