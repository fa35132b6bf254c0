"""Layers on top of each other: the outputs of one are the inputs of the next.

Parameters carry PyTorch's names ("weight_ih_l0", ...); a state is a tuple of (L,B,H) arrays, one for each
state of the cell, and the trace is a list of L traces.
"""

import numpy as np

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def weights_of(parameters, layer):
    return tuple(parameters[f"{name}_l{layer}"] for name in PARAMETERS)


def shapes(gates, input_size, hidden_size, num_layers):
    """Names and shapes in PyTorch's order; `gates` is the number of row blocks of a weight."""
    named = {}
    for layer in range(num_layers):
        columns = input_size if layer == 0 else hidden_size
        named[f"weight_ih_l{layer}"] = (gates * hidden_size, columns)
        named[f"weight_hh_l{layer}"] = (gates * hidden_size, hidden_size)
        named[f"bias_ih_l{layer}"] = (gates * hidden_size,)
        named[f"bias_hh_l{layer}"] = (gates * hidden_size,)
    return named


def forward(cell, x, state, parameters):
    """x (T,B,I) -> y (T,B,H), last state, traces."""
    num_layers = state[0].shape[0]
    last, traces = [], []
    for layer in range(num_layers):
        start = tuple(part[layer] for part in state)
        x, stop, trace = cell.forward(x, start, *weights_of(parameters, layer))
        last.append(stop)
        traces.append(trace)
    return x, tuple(np.array(part) for part in zip(*last, strict=True)), traces


def backward(cell, dy, dstate, traces, parameters):
    """Errors of y and of the last state (or None) -> gradients by name, "x", "state", "errors" (L,T,B,H)."""
    gradients, dstart, errors = {}, [], []
    for layer in reversed(range(len(traces))):
        dstop = None if dstate is None else tuple(part[layer] for part in dstate)
        g = cell.backward(dy, dstop, traces[layer], *weights_of(parameters, layer))
        gradients |= {f"{name}_l{layer}": g[name] for name in PARAMETERS}
        dstart.insert(0, g["state"])
        errors.insert(0, g["errors"])
        dy = g["x"]
    dstate = tuple(np.array(part) for part in zip(*dstart, strict=True))
    return gradients | {"x": dy, "state": dstate, "errors": np.array(errors)}
