"""The checks of `check_cell`, each of one cell; a failure names the cell, the check and the quantity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bptt.cells.table import Cell
from bptt.testing.case import (
    PARAMETERS,
    Array,
    Case,
    Reference,
    State,
    backward,
    blocks,
    compare,
    compare_gradients,
    double,
    equal,
    fail,
    forward,
    reference_backward,
    tolerance_of,
)


def check_reference(cell: Cell, reference: Reference, case: Case) -> None:
    T, B, I = case.x.shape
    H = case.dy.shape[2]
    size = f" at T={T}, B={B}, I={I}, H={H}, {case.x.dtype}"
    weights = double(case.weights)
    y_expected, last_expected, trace = reference.forward(case.x.astype(np.float64), double(case.state), *weights)
    expected = reference_backward(reference, case.dy.astype(np.float64), double(case.dstate), trace, weights)
    y, last, tape = forward(case)
    got = backward(case, case.dy, tape, case.dstate)
    for what, array in {"y": y, **got}.items():
        if array.dtype != case.x.dtype:
            fail(cell, "dtype" + size, f"{what} is {array.dtype}")
    tolerance = tolerance_of(case)
    compare(cell, "reference values" + size, "y", y, y_expected, tolerance)
    for name, part, part_expected in zip(cell.states, last, last_expected, strict=True):
        compare(cell, "reference values" + size, f"the last {name}", part, part_expected, tolerance)
    errors = got.pop("errors"), expected.pop("errors")
    compare_gradients(cell, "reference gradients" + size, got, expected, tolerance, H)
    compare(cell, "reference errors" + size, "dL/dh_t", *errors, tolerance)


def places(case: Case, rng: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    """Everything there is to differentiate by: name, value, a random direction."""
    named = {"x": case.x} | {f"state {k}": part for k, part in enumerate(case.state)}
    for name, value in {**named, **dict(zip(PARAMETERS, case.weights, strict=True))}.items():
        yield name, value, rng.normal(size=value.shape)


def loss(y: Array, last: State, case: Case) -> Any:
    return (y * case.dy).sum() + sum((part * d).sum() for part, d in zip(last, case.dstate, strict=True))


def check_complex_step(cell: Cell, reference: Reference, case: Case, seed: int) -> None:
    """Im f(theta + i 1e-30 v) / 1e-30 is the exact slope along v: nothing cancels."""
    rng = np.random.default_rng(seed)
    _, _, tape = forward(case)
    g = backward(case, case.dy, tape, case.dstate)
    for name, value, v in places(case, rng):
        point: dict[str, Array] = {"x": case.x} | {f"state {k}": part for k, part in enumerate(case.state)}
        point |= dict(zip(PARAMETERS, case.weights, strict=True))
        point[name] = value + 1e-30j * v
        state = tuple(point[f"state {k}"] for k in range(len(case.state)))
        y, last, _ = reference.forward(point["x"], state, *(point[parameter] for parameter in PARAMETERS))
        slope = np.array(loss(y, last, case).imag / 1e-30)
        # The sum may cancel; its rounding is that of its terms.
        scale = float(np.abs(g[name] * v).sum())
        compare(
            cell,
            "complex step",
            f"the slope along {name}",
            np.array((g[name] * v).sum()),
            slope,
            1e-12,
            scale,
        )


def check_adjoint_identity(cell: Cell, case: Case, seed: int) -> None:
    """<u, J v> with J v from the cell's own forward pass, <J^T u, v> from its backward: no reference."""
    rng = np.random.default_rng(seed + 1)
    _, _, tape = forward(case)
    g = backward(case, case.dy, tape, case.dstate)
    nudge = 1e-5
    for name, value, v in places(case, rng):
        both = []
        for sign in (1, -1):
            moved = value + sign * nudge * v
            if name in PARAMETERS:
                before = value.copy()
                value[...] = moved
                y, last, _ = forward(case)
                value[...] = before
            elif name == "x":
                y, last, _ = forward(case, x=moved)
            else:
                k = int(name.split()[1])
                y, last, _ = forward(case, state=(*case.state[:k], moved, *case.state[k + 1 :]))
            both.append(loss(y, last, case))
        slope = np.array((both[0] - both[1]) / (2 * nudge))
        scale = float(np.abs(g[name] * v).sum())
        compare(
            cell,
            "adjoint identity",
            f"<J^T u, v> for {name}",
            np.array((g[name] * v).sum()),
            slope,
            1e-6,
            scale,
        )


def check_every_block(cell: Cell, case: Case) -> None:
    """A gradient that is zero passes many a test: here it does not."""
    H = case.dy.shape[2]
    _, _, tape = forward(case)
    g = backward(case, case.dy, tape, case.dstate)
    for name in PARAMETERS:
        for k, block in blocks(g[name], H):
            if not np.any(np.abs(block) > 1e-6 * np.abs(g[name]).max()):
                fail(cell, "every block", f"the gradient of {name} is zero in row block {k}")
    for name in ("x", *(f"state {k}" for k in range(len(case.state)))):
        if not np.any(g[name]):
            fail(cell, "every block", f"the gradient of {name} is zero")


def check_absent_errors(cell: Cell, reference: Reference, case: Case) -> None:
    H = case.dy.shape[2]
    weights = double(case.weights)
    _, _, trace = reference.forward(case.x.astype(np.float64), double(case.state), *weights)
    _, _, tape = forward(case)
    last_step = np.zeros_like(case.dy)
    last_step[-1] = case.dy[-1]
    situations: dict[str, tuple[Array | None, State | None]] = {
        "dy only": (case.dy, None),
        "dstate only": (None, case.dstate),
        "last step only": (last_step, None),
    }
    for k, name in enumerate(cell.states):
        only = tuple(part if k == m else np.zeros_like(part) for m, part in enumerate(case.dstate))
        situations[f"d{name} only"] = (None, only)
    for situation, (dy, dstate) in situations.items():
        expected = reference_backward(
            reference,
            None if dy is None else dy.astype(np.float64),
            None if dstate is None else double(dstate),
            trace,
            weights,
        )
        got = backward(case, dy, tape, dstate)
        compare_gradients(cell, f"absent errors, {situation}", got, expected, tolerance_of(case), H)


def check_step_by_step(cell: Cell, case: Case) -> None:
    """T sequences of one step are one sequence of T steps, bit for bit, both ways."""
    check = "step by step"
    y, last, tape = forward(case)
    g = backward(case, case.dy, tape, case.dstate)
    state, tapes = case.state, []
    for t in range(len(case.x)):
        y_t, state, tape_t = forward(case, x=case.x[t : t + 1], state=state)
        equal(cell, check, f"y at step {t}", y_t[0], y[t])
        tapes.append(tape_t)
    for name, part, expected in zip(cell.states, state, last, strict=True):
        equal(cell, check, f"the last {name}", part, expected)
    dstate = case.dstate
    total = {name: np.zeros_like(g[name]) for name in PARAMETERS}
    for t in reversed(range(len(case.x))):
        g_t = backward(case, case.dy[t : t + 1], tapes[t], dstate)
        equal(cell, check, f"dx at step {t}", g_t["x"][0], g["x"][t])
        equal(cell, check, f"dL/dh_t at step {t}", g_t["errors"][0], g["errors"][t])
        dstate = tuple(g_t[f"state {k}"] for k in range(len(case.state)))
        total = {name: total[name] + g_t[name] for name in PARAMETERS}
    for k, part in enumerate(dstate):
        equal(cell, check, f"the gradient of state {k}", part, g[f"state {k}"])
    for name in PARAMETERS:
        compare(cell, check, f"the sum of the gradients of {name}", total[name], g[name], tolerance_of(case))


def check_pieces(cell: Cell, case: Case) -> None:
    """Rows that end early, and states dropped on the way: each piece is a sequence of its own, bit for bit."""
    check, (T, B, _) = "lengths and resets", case.x.shape
    lengths = 1 + (3 * np.arange(B) + 1) % T
    dropped = np.arange(B) % lengths  # before step 0 in the first row: its initial state
    reset = np.zeros((T, B), np.bool_)
    reset[dropped, np.arange(B)] = True
    y, last, tape = forward(case, lengths=lengths, reset=reset)
    g = backward(case, case.dy, tape, case.dstate)
    y_expected, dx, errors = np.zeros_like(y), np.zeros_like(case.x), np.zeros_like(y)
    total = {name: np.zeros_like(g[name]) for name in PARAMETERS}
    for b in range(B):
        row = slice(b, b + 1)
        state, dstate = (tuple(part[row] for part in s) for s in (case.state, case.dstate))
        zeros = tuple(np.zeros_like(part) for part in state)
        dstart = zeros
        for first, stop in ((0, dropped[b]), (dropped[b], lengths[b])):
            if first < stop:
                start, dstop = state if stop == dropped[b] else zeros, dstate if stop == lengths[b] else zeros
                y_expected[first:stop, row], end, piece = forward(case, case.x[first:stop, row], start)
                g_piece = backward(case, case.dy[first:stop, row], piece, dstop)
                dx[first:stop, row], errors[first:stop, row] = g_piece["x"], g_piece["errors"]
                total = {name: total[name] + g_piece[name] for name in PARAMETERS}
                if stop == dropped[b]:
                    dstart = tuple(g_piece[f"state {k}"] for k in range(len(state)))
        for k, name in enumerate(cell.states):
            equal(cell, check, f"the last {name} of row {b}", last[k][row], end[k])
            equal(cell, check, f"the gradient of state {k} of row {b}", g[f"state {k}"][row], dstart[k])
    for what, got, expected in (("y", y, y_expected), ("dx", g["x"], dx), ("dL/dh_t", g["errors"], errors)):
        equal(cell, check, what, got, expected)
    for name in PARAMETERS:
        compare(cell, check, f"the sum of the gradients of {name}", total[name], g[name], tolerance_of(case))


def check_backward_twice(cell: Cell, case: Case) -> None:
    _, _, tape = forward(case)
    first = backward(case, case.dy, tape, case.dstate)
    backward(case, None, tape, case.dstate)
    second = backward(case, case.dy, tape, case.dstate)
    for name, value in first.items():
        equal(cell, "backward twice", f"the gradient of {name}", second[name], value)


def check_nan(cell: Cell, case: Case) -> None:
    """A NaN in any gate of unit 0 reaches that unit at once, every unit a step later, and every gradient."""
    H = case.dy.shape[2]
    for name in ("bias_ih", "bias_hh"):
        bias = case.layer.parameters[f"{name}_l0"]
        for k in range(len(bias) // H):
            check = f"NaN in {name}, row block {k}"
            before = bias[k * H]
            bias[k * H] = np.nan
            y, _, tape = forward(case)
            g = backward(case, case.dy, tape, case.dstate)
            bias[k * H] = before
            if not (np.all(np.isnan(y[0, :, 0])) and np.all(np.isnan(y[1:]))):
                fail(cell, check, "it does not reach all outputs that depend on it")
            if np.any(np.isnan(y[0, :, 1:])):
                fail(cell, check, "it reaches another unit within one step")
            for other in PARAMETERS:
                if not np.all(np.isnan(g[other])):
                    fail(cell, check, f"it does not reach the gradient of {other}")
