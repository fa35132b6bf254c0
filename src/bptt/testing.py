"""The battery every cell meets: for whoever writes a new one.

A cell that passes `check_cell` computes what its naive reference computes, in both dtypes and at the sizes
where kernels go wrong, and its backward pass is the derivative of its forward pass by three independent
measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bptt import arguments
from bptt.cells.table import Cell
from bptt.network.layers import Recurrent
from bptt.numerics.matmul import TILE_ROWS, panel_shape

__all__ = ["Reference", "check_cell"]

Array = NDArray[Any]
State = tuple[Array, ...]

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Reference(Protocol):
    """What `check_cell` needs of a naive version of the cell: any object with these two functions.

    Written in plain NumPy for any dtype, and complex-analytic: no abs, conj or real (a kink may look at the
    real part). weight_ih (G*H, I), weight_hh (G*H, H), bias_ih and bias_hh (G*H,) lie as the public layer has
    them.
    """

    def forward(self, x: Array, state: State, *weights: Array) -> tuple[Array, State, Any]:
        """x (T,B,I), state: a tuple of (B,H) -> y (T,B,H), the last state, whatever `backward` needs."""

    def backward(self, dy: Array | None, dstate: State | None, trace: Any, *weights: Array) -> dict[str, Any]:
        """Gradients under "x", "state" (a tuple), each parameter, and "errors": dL/dh_t (T,B,H)."""


class _Case(NamedTuple):
    """One layer with random weights, biases, states and errors, none of them zero."""

    layer: Recurrent
    x: Array
    state: State
    dy: Array
    dstate: State

    @property
    def weights(self) -> tuple[Array, ...]:
        return tuple(self.layer.parameters[f"{name}_l0"] for name in PARAMETERS)


def check_cell(
    cell: Cell,
    reference: Reference,
    *,
    sizes: Sequence[tuple[int, int, int, int]] | None = None,
    dtypes: Sequence[str] = ("float64", "float32"),
    seed: int = 0,
) -> None:
    """Run a cell through the library's own unroll and hold it against its reference and against itself.

    The checks, in this order: values, gradients and error signals of both dtypes against the reference in
    float64, within the rounding of sums over T and I + H; the reference's complex step (Squire & Trapp 1998);
    the adjoint identity <u, J v> = <J^T u, v>, J v by differences of the cell's own forward; a gradient in
    every block of every parameter; absent errors; one step at a time against all at once; unequal lengths and
    states dropped on the way against each piece alone; a second backward from the same tape; NaN.

    Parameters
    ----------
    cell : Cell
        A row of `bptt.cells.table.CELLS`.
    reference : Reference
        The cell in plain NumPy, written independently (see `tests/reference`).
    sizes : sequence of (T, B, I, H), optional
        Sizes of the comparison with the reference; by default 1, odd ones, and those around the tiles of the
        matrix product on this machine.
    dtypes : sequence of str
        "float64", "float32" or both.
    seed : int
        Of weights, inputs and errors.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or outside its range.
    AssertionError
        Naming the cell, the check that failed and the quantity in question.

    Examples
    --------
    A reference is written in a minute:

    >>> import numpy as np
    >>> from bptt.cells.table import CELLS
    >>> class TanhRNN:
    ...     def forward(self, x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    ...         h = [state[0]]
    ...         for x_t in x:
    ...             h.append(np.tanh(x_t @ weight_ih.T + bias_ih + h[-1] @ weight_hh.T + bias_hh))
    ...         return np.array(h[1:]), (h[-1],), (x, np.array(h))
    ...     def backward(self, dy, dstate, trace, weight_ih, weight_hh, bias_ih, bias_hh):
    ...         x, h = trace
    ...         da, dh, errors = np.zeros_like(h[1:]), 0 if dstate is None else dstate[0], np.zeros_like(h[1:])
    ...         for t in reversed(range(len(x))):
    ...             errors[t] = dh + (0 if dy is None else dy[t])
    ...             da[t] = errors[t] * (1 - h[t + 1] ** 2)
    ...             dh = da[t] @ weight_hh
    ...         db = da.sum(axis=(0, 1))
    ...         dW, dU = (np.einsum("tbg,tbi->gi", da, v) for v in (x, h[:-1]))
    ...         return {"x": da @ weight_ih, "state": (dh,), "weight_ih": dW, "weight_hh": dU, "bias_ih": db,
    ...                 "bias_hh": db, "errors": errors}
    >>> check_cell(CELLS["rnn_tanh"], TanhRNN())
    >>> check_cell(CELLS["rnn_relu"], TanhRNN(), sizes=[(2, 1, 1, 1)])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    AssertionError: cell 'rnn_relu', check 'reference values at T=2, B=1, I=1, H=1, float64': y...
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"cell must be a row of bptt.cells.table.CELLS; got {type(cell).__name__}")
    for function in ("forward", "backward"):
        if not callable(getattr(reference, function, None)):
            raise TypeError(f"reference must have functions forward and backward; {reference!r} has no {function}")
    if sizes is not None:
        sizes = [_size(size) for size in arguments.sequence("sizes", sizes)]
    dtypes = [arguments.dtype("dtypes", dtype).name for dtype in arguments.sequence("dtypes", dtypes)]
    seed = arguments.seed("seed", seed)
    for dtype in dtypes:
        for T, B, I, H in _default_sizes(dtype) if sizes is None else sizes:
            _check_reference(cell, reference, _make(cell, T, B, I, H, dtype, seed))
    if "float64" in dtypes:
        case = _make(cell, 5, 3, 4, 7, "float64", seed)
        _check_complex_step(cell, reference, case, seed)
        _check_adjoint_identity(cell, case, seed)
        _check_every_block(cell, case)
    for dtype in dtypes:
        case = _make(cell, 5, 3, 4, 7, dtype, seed)
        _check_absent_errors(cell, reference, case)
        _check_step_by_step(cell, case)
        _check_pieces(cell, case)
        _check_backward_twice(cell, case)
        _check_nan(cell, case)


def _size(value: Any) -> tuple[int, int, int, int]:
    if not isinstance(value, Sequence) or len(value) != 4:
        raise ValueError(f"sizes must be tuples (T, B, I, H) of integers; got {value!r}")
    T, B, I, H = (arguments.integer("sizes", number) for number in value)
    return T, B, I, H


def _default_sizes(dtype: str) -> list[tuple[int, int, int, int]]:
    """T, B, I, H in {1, odd, tile-1, tile, tile+1}: every value in every place, not every combination."""
    rows = TILE_ROWS[0]
    _, _, columns = panel_shape(1, 1, np.dtype(dtype))
    return [
        (1, 1, 1, 1),
        (7, 1, 1, 5),
        (1, 5, 3, 1),
        (3, rows - 1, columns, columns - 1),
        (2, rows, columns - 1, columns),
        (5, rows + 1, columns + 1, columns + 1),
        (4, 2 * rows + 3, 7, 11),
    ]


def _make(cell: Cell, T: int, B: int, I: int, H: int, dtype: str, seed: int) -> _Case:
    rng = np.random.default_rng([seed, T, B, I, H])
    layer = Recurrent(cell, I, H, dtype=dtype, seed=seed)
    for value in layer.parameters.values():
        # Weights of variance 1/columns neither let the sequence die nor let it explode, at any size.
        bound = np.sqrt(3 / value.shape[1]) if value.ndim == 2 else 1.0
        value[...] = rng.uniform(-bound, bound, value.shape)

    def normal(*shape: int) -> Array:
        return rng.normal(size=shape).astype(dtype)

    state, dstate = (tuple(normal(B, H) for _ in cell.states) for _ in range(2))
    return _Case(layer, normal(T, B, I), state, normal(T, B, H), dstate)


def _public(state: State | None) -> Any:
    """The state as the public layers take it: (1,B,H) arrays, a lone one without its tuple."""
    if state is None:
        return None
    layers = tuple(part[None] for part in state)
    return layers if len(layers) > 1 else layers[0]


def _plain(state: Any) -> State:
    """The way back: a tuple of (B,H)."""
    return tuple(part[0] for part in (state if isinstance(state, tuple) else (state,)))


def _forward(
    case: _Case, x: Array | None = None, state: State | None = None, **rows: Array
) -> tuple[Array, State, Any]:
    x, state = case.x if x is None else x, case.state if state is None else state
    y, last, tape = case.layer.forward(x, _public(state), **rows)
    return y, _plain(last), tape


def _backward(case: _Case, dy: Array | None, tape: Any, dstate: State | None) -> dict[str, Array]:
    """The layer's gradients under one roof: "x", "state 0", ..., the parameters, "errors"."""
    if dy is None:
        dy = np.zeros_like(case.dy)
    g = case.layer.backward(dy, tape, _public(dstate), errors=True)
    assert g.errors is not None
    named = {"x": g.x, "errors": g.errors[0]}
    named |= {f"state {k}": part for k, part in enumerate(_plain(g.state))}
    return named | {name: g.parameters[f"{name}_l0"] for name in PARAMETERS}


def _reference_backward(
    reference: Reference, dy: Array | None, dstate: State | None, trace: Any, weights: tuple[Array, ...]
) -> dict[str, Array]:
    g = reference.backward(dy, dstate, trace, *weights)
    named = {"x": g["x"], "errors": g["errors"]} | {f"state {k}": part for k, part in enumerate(g["state"])}
    return named | {name: g[name] for name in PARAMETERS}


def _double(state: State) -> State:
    return tuple(part.astype(np.float64) for part in state)


def _tolerance(case: _Case) -> float:
    """Rounding of sums of I + H products over T steps, and a few units for the activations."""
    T, _, I = case.x.shape
    H = case.dy.shape[2]
    return float(np.finfo(case.x.dtype).eps) * (100 + 4 * T * (I + H))


def _fail(cell: Cell, check: str, message: str) -> None:
    raise AssertionError(f"cell {cell.name!r}, check {check!r}: {message}")


def _compare(
    cell: Cell, check: str, what: str, got: Array, expected: Array, tolerance: float, scale: float = 0.0
) -> None:
    """Entry by entry, relative to the largest entry expected (or to `scale`, where that is larger)."""
    if got.shape != expected.shape:
        _fail(cell, check, f"{what} has shape {got.shape}, expected {expected.shape}")
    largest = max(float(np.max(np.abs(expected), initial=0)), scale)
    error = np.abs(got - expected)
    if not np.all(error <= tolerance * largest):
        worst = np.unravel_index(int(np.nanargmax(np.where(np.isnan(error), np.inf, error))), error.shape)
        entry = [int(index) for index in worst]
        relative = f"{error[worst] / largest:.2e} of the largest entry" if largest else "all are expected to be 0"
        _fail(
            cell,
            check,
            f"{what}{entry} is {got[worst]:.9g}, expected {expected[worst]:.9g}: off by {relative}, "
            f"accepted {tolerance:.2e}",
        )


def _blocks(value: Array, H: int) -> Iterator[tuple[int, Array]]:
    """The row blocks of one parameter, one for each gate."""
    for k in range(len(value) // H):
        yield k, value[k * H : (k + 1) * H]


def _compare_gradients(
    cell: Cell, check: str, got: dict[str, Array], expected: dict[str, Array], tolerance: float, H: int
) -> None:
    """Parameters block by block, so that a small gate cannot hide behind a large one."""
    scale = 0.01 * max(float(np.abs(expected[name]).max()) for name in PARAMETERS)
    for name, value in expected.items():
        if name in PARAMETERS:
            for k, block in _blocks(value, H):
                part = got[name][k * H : (k + 1) * H]
                _compare(cell, check, f"the gradient of {name}, row block {k}, ", part, block, tolerance, scale)
        else:
            _compare(cell, check, f"the gradient of {name}", got[name], value, tolerance, scale)


def _check_reference(cell: Cell, reference: Reference, case: _Case) -> None:
    T, B, I = case.x.shape
    H = case.dy.shape[2]
    size = f" at T={T}, B={B}, I={I}, H={H}, {case.x.dtype}"
    weights = _double(case.weights)
    y_expected, last_expected, trace = reference.forward(case.x.astype(np.float64), _double(case.state), *weights)
    expected = _reference_backward(reference, case.dy.astype(np.float64), _double(case.dstate), trace, weights)
    y, last, tape = _forward(case)
    got = _backward(case, case.dy, tape, case.dstate)
    for what, array in {"y": y, **got}.items():
        if array.dtype != case.x.dtype:
            _fail(cell, "dtype" + size, f"{what} is {array.dtype}")
    tolerance = _tolerance(case)
    _compare(cell, "reference values" + size, "y", y, y_expected, tolerance)
    for name, part, part_expected in zip(cell.states, last, last_expected, strict=True):
        _compare(cell, "reference values" + size, f"the last {name}", part, part_expected, tolerance)
    errors = got.pop("errors"), expected.pop("errors")
    _compare_gradients(cell, "reference gradients" + size, got, expected, tolerance, H)
    _compare(cell, "reference errors" + size, "dL/dh_t", *errors, tolerance)


def _places(case: _Case, rng: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    """Everything there is to differentiate by: name, value, a random direction."""
    named = {"x": case.x} | {f"state {k}": part for k, part in enumerate(case.state)}
    for name, value in {**named, **dict(zip(PARAMETERS, case.weights, strict=True))}.items():
        yield name, value, rng.normal(size=value.shape)


def _loss(y: Array, last: State, case: _Case) -> Any:
    return (y * case.dy).sum() + sum((part * d).sum() for part, d in zip(last, case.dstate, strict=True))


def _check_complex_step(cell: Cell, reference: Reference, case: _Case, seed: int) -> None:
    """Im f(theta + i 1e-30 v) / 1e-30 is the exact slope along v: nothing cancels."""
    rng = np.random.default_rng(seed)
    _, _, tape = _forward(case)
    g = _backward(case, case.dy, tape, case.dstate)
    for name, value, v in _places(case, rng):
        point: dict[str, Array] = {"x": case.x} | {f"state {k}": part for k, part in enumerate(case.state)}
        point |= dict(zip(PARAMETERS, case.weights, strict=True))
        point[name] = value + 1e-30j * v
        state = tuple(point[f"state {k}"] for k in range(len(case.state)))
        y, last, _ = reference.forward(point["x"], state, *(point[parameter] for parameter in PARAMETERS))
        slope = np.array(_loss(y, last, case).imag / 1e-30)
        # The sum may cancel; its rounding is that of its terms.
        scale = float(np.abs(g[name] * v).sum())
        _compare(
            cell,
            "complex step",
            f"the slope along {name}",
            np.array((g[name] * v).sum()),
            slope,
            1e-12,
            scale,
        )


def _check_adjoint_identity(cell: Cell, case: _Case, seed: int) -> None:
    """<u, J v> with J v from the cell's own forward pass, <J^T u, v> from its backward: no reference."""
    rng = np.random.default_rng(seed + 1)
    _, _, tape = _forward(case)
    g = _backward(case, case.dy, tape, case.dstate)
    nudge = 1e-5
    for name, value, v in _places(case, rng):
        both = []
        for sign in (1, -1):
            moved = value + sign * nudge * v
            if name in PARAMETERS:
                before = value.copy()
                value[...] = moved
                y, last, _ = _forward(case)
                value[...] = before
            elif name == "x":
                y, last, _ = _forward(case, x=moved)
            else:
                k = int(name.split()[1])
                y, last, _ = _forward(case, state=(*case.state[:k], moved, *case.state[k + 1 :]))
            both.append(_loss(y, last, case))
        slope = np.array((both[0] - both[1]) / (2 * nudge))
        scale = float(np.abs(g[name] * v).sum())
        _compare(
            cell,
            "adjoint identity",
            f"<J^T u, v> for {name}",
            np.array((g[name] * v).sum()),
            slope,
            1e-6,
            scale,
        )


def _check_every_block(cell: Cell, case: _Case) -> None:
    """A gradient that is zero passes many a test: here it does not."""
    H = case.dy.shape[2]
    _, _, tape = _forward(case)
    g = _backward(case, case.dy, tape, case.dstate)
    for name in PARAMETERS:
        for k, block in _blocks(g[name], H):
            if not np.any(np.abs(block) > 1e-6 * np.abs(g[name]).max()):
                _fail(cell, "every block", f"the gradient of {name} is zero in row block {k}")
    for name in ("x", *(f"state {k}" for k in range(len(case.state)))):
        if not np.any(g[name]):
            _fail(cell, "every block", f"the gradient of {name} is zero")


def _check_absent_errors(cell: Cell, reference: Reference, case: _Case) -> None:
    H = case.dy.shape[2]
    weights = _double(case.weights)
    _, _, trace = reference.forward(case.x.astype(np.float64), _double(case.state), *weights)
    _, _, tape = _forward(case)
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
        expected = _reference_backward(
            reference,
            None if dy is None else dy.astype(np.float64),
            None if dstate is None else _double(dstate),
            trace,
            weights,
        )
        got = _backward(case, dy, tape, dstate)
        _compare_gradients(cell, f"absent errors, {situation}", got, expected, _tolerance(case), H)


def _equal(cell: Cell, check: str, what: str, got: Array, expected: Array) -> None:
    if not np.array_equal(got, expected):
        _fail(
            cell,
            check,
            f"{what} differs by up to {np.max(np.abs(got - expected)):.2e}; the bits must be equal",
        )


def _check_step_by_step(cell: Cell, case: _Case) -> None:
    """T sequences of one step are one sequence of T steps, bit for bit, both ways."""
    check = "step by step"
    y, last, tape = _forward(case)
    g = _backward(case, case.dy, tape, case.dstate)
    state, tapes = case.state, []
    for t in range(len(case.x)):
        y_t, state, tape_t = _forward(case, x=case.x[t : t + 1], state=state)
        _equal(cell, check, f"y at step {t}", y_t[0], y[t])
        tapes.append(tape_t)
    for name, part, expected in zip(cell.states, state, last, strict=True):
        _equal(cell, check, f"the last {name}", part, expected)
    dstate = case.dstate
    total = {name: np.zeros_like(g[name]) for name in PARAMETERS}
    for t in reversed(range(len(case.x))):
        g_t = _backward(case, case.dy[t : t + 1], tapes[t], dstate)
        _equal(cell, check, f"dx at step {t}", g_t["x"][0], g["x"][t])
        _equal(cell, check, f"dL/dh_t at step {t}", g_t["errors"][0], g["errors"][t])
        dstate = tuple(g_t[f"state {k}"] for k in range(len(case.state)))
        total = {name: total[name] + g_t[name] for name in PARAMETERS}
    for k, part in enumerate(dstate):
        _equal(cell, check, f"the gradient of state {k}", part, g[f"state {k}"])
    for name in PARAMETERS:
        _compare(cell, check, f"the sum of the gradients of {name}", total[name], g[name], _tolerance(case))


def _check_pieces(cell: Cell, case: _Case) -> None:
    """Rows that end early, and states dropped on the way: each piece is a sequence of its own, bit for bit."""
    check, (T, B, _) = "lengths and resets", case.x.shape
    lengths = 1 + (3 * np.arange(B) + 1) % T
    dropped = np.arange(B) % lengths  # before step 0 in the first row: its initial state
    reset = np.zeros((T, B), np.bool_)
    reset[dropped, np.arange(B)] = True
    y, last, tape = _forward(case, lengths=lengths, reset=reset)
    g = _backward(case, case.dy, tape, case.dstate)
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
                y_expected[first:stop, row], end, piece = _forward(case, case.x[first:stop, row], start)
                g_piece = _backward(case, case.dy[first:stop, row], piece, dstop)
                dx[first:stop, row], errors[first:stop, row] = g_piece["x"], g_piece["errors"]
                total = {name: total[name] + g_piece[name] for name in PARAMETERS}
                if stop == dropped[b]:
                    dstart = tuple(g_piece[f"state {k}"] for k in range(len(state)))
        for k, name in enumerate(cell.states):
            _equal(cell, check, f"the last {name} of row {b}", last[k][row], end[k])
            _equal(cell, check, f"the gradient of state {k} of row {b}", g[f"state {k}"][row], dstart[k])
    for what, got, expected in (("y", y, y_expected), ("dx", g["x"], dx), ("dL/dh_t", g["errors"], errors)):
        _equal(cell, check, what, got, expected)
    for name in PARAMETERS:
        _compare(cell, check, f"the sum of the gradients of {name}", total[name], g[name], _tolerance(case))


def _check_backward_twice(cell: Cell, case: _Case) -> None:
    _, _, tape = _forward(case)
    first = _backward(case, case.dy, tape, case.dstate)
    _backward(case, None, tape, case.dstate)
    second = _backward(case, case.dy, tape, case.dstate)
    for name, value in first.items():
        _equal(cell, "backward twice", f"the gradient of {name}", second[name], value)


def _check_nan(cell: Cell, case: _Case) -> None:
    """A NaN in any gate of unit 0 reaches that unit at once, every unit a step later, and every gradient."""
    H = case.dy.shape[2]
    for name in ("bias_ih", "bias_hh"):
        bias = case.layer.parameters[f"{name}_l0"]
        for k in range(len(bias) // H):
            check = f"NaN in {name}, row block {k}"
            before = bias[k * H]
            bias[k * H] = np.nan
            y, _, tape = _forward(case)
            g = _backward(case, case.dy, tape, case.dstate)
            bias[k * H] = before
            if not (np.all(np.isnan(y[0, :, 0])) and np.all(np.isnan(y[1:]))):
                _fail(cell, check, "it does not reach all outputs that depend on it")
            if np.any(np.isnan(y[0, :, 1:])):
                _fail(cell, check, "it reaches another unit within one step")
            for other in PARAMETERS:
                if not np.all(np.isnan(g[other])):
                    _fail(cell, check, f"it does not reach the gradient of {other}")
