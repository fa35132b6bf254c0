"""A layer of the cell under test with what it is fed, and how its results are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bptt.cells.table import Cell
from bptt.network.layers import Recurrent

__all__ = [
    "PARAMETERS",
    "Array",
    "Case",
    "Reference",
    "State",
    "backward",
    "blocks",
    "compare",
    "compare_gradients",
    "double",
    "equal",
    "fail",
    "forward",
    "make",
    "reference_backward",
    "tolerance_of",
]

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


class Case(NamedTuple):
    """One layer with random weights, biases, states and errors, none of them zero."""

    layer: Recurrent
    x: Array
    state: State
    dy: Array
    dstate: State

    @property
    def weights(self) -> tuple[Array, ...]:
        return tuple(self.layer.parameters[f"{name}_l0"] for name in PARAMETERS)


def make(cell: Cell, T: int, B: int, I: int, H: int, dtype: str, seed: int) -> Case:
    rng = np.random.default_rng([seed, T, B, I, H])
    layer = Recurrent(cell, I, H, dtype=dtype, seed=seed)
    for value in layer.parameters.values():
        # Weights of variance 1/columns neither let the sequence die nor let it explode, at any size.
        bound = np.sqrt(3 / value.shape[1]) if value.ndim == 2 else 1.0
        value[...] = rng.uniform(-bound, bound, value.shape)

    def normal(*shape: int) -> Array:
        return rng.normal(size=shape).astype(dtype)

    state, dstate = (tuple(normal(B, H) for _ in cell.states) for _ in range(2))
    return Case(layer, normal(T, B, I), state, normal(T, B, H), dstate)


def public(state: State | None) -> Any:
    """The state as the public layers take it: (1,B,H) arrays, a lone one without its tuple."""
    if state is None:
        return None
    layers = tuple(part[None] for part in state)
    return layers if len(layers) > 1 else layers[0]


def plain(state: Any) -> State:
    """The way back: a tuple of (B,H)."""
    return tuple(part[0] for part in (state if isinstance(state, tuple) else (state,)))


def forward(case: Case, x: Array | None = None, state: State | None = None, **rows: Any) -> tuple[Array, State, Any]:
    x, state = case.x if x is None else x, case.state if state is None else state
    y, last, tape = case.layer.forward(x, public(state), **rows)
    return y, plain(last), tape


def backward(case: Case, dy: Array | None, tape: Any, dstate: State | None) -> dict[str, Array]:
    """The layer's gradients under one roof: "x", "state 0", ..., the parameters, "errors"."""
    if dy is None:
        dy = np.zeros_like(case.dy)
    g = case.layer.backward(dy, tape, public(dstate), errors="h")
    named = {"x": g.x, "errors": g.errors["h"][0]}
    named |= {f"state {k}": part for k, part in enumerate(plain(g.state))}
    return named | {name: g.parameters[f"{name}_l0"] for name in PARAMETERS}


def reference_backward(
    reference: Reference, dy: Array | None, dstate: State | None, trace: Any, weights: tuple[Array, ...]
) -> dict[str, Array]:
    g = reference.backward(dy, dstate, trace, *weights)
    named = {"x": g["x"], "errors": g["errors"]} | {f"state {k}": part for k, part in enumerate(g["state"])}
    return named | {name: g[name] for name in PARAMETERS}


def double(state: State) -> State:
    return tuple(part.astype(np.float64) for part in state)


def tolerance_of(case: Case) -> float:
    """Rounding of sums of I + H products over T steps, and a few units for the activations."""
    T, _, I = case.x.shape
    H = case.dy.shape[2]
    return float(np.finfo(case.x.dtype).eps) * (100 + 4 * T * (I + H))


def fail(cell: Cell, check: str, message: str) -> None:
    raise AssertionError(f"cell {cell.name!r}, check {check!r}: {message}")


def compare(
    cell: Cell, check: str, what: str, got: Array, expected: Array, tolerance: float, scale: float = 0.0
) -> None:
    """Entry by entry, relative to the largest entry expected (or to `scale`, where that is larger)."""
    if got.shape != expected.shape:
        fail(cell, check, f"{what} has shape {got.shape}, expected {expected.shape}")
    largest = max(float(np.max(np.abs(expected), initial=0)), scale)
    error = np.abs(got - expected)
    if not np.all(error <= tolerance * largest):
        worst = np.unravel_index(int(np.nanargmax(np.where(np.isnan(error), np.inf, error))), error.shape)
        entry = [int(index) for index in worst]
        relative = f"{error[worst] / largest:.2e} of the largest entry" if largest else "all are expected to be 0"
        fail(
            cell,
            check,
            f"{what}{entry} is {got[worst]:.9g}, expected {expected[worst]:.9g}: off by {relative}, "
            f"accepted {tolerance:.2e}",
        )


def blocks(value: Array, H: int) -> Iterator[tuple[int, Array]]:
    """The row blocks of one parameter, one for each gate."""
    for k in range(len(value) // H):
        yield k, value[k * H : (k + 1) * H]


def compare_gradients(
    cell: Cell, check: str, got: dict[str, Array], expected: dict[str, Array], tolerance: float, H: int
) -> None:
    """Parameters block by block, so that a small gate cannot hide behind a large one."""
    scale = 0.01 * max(float(np.abs(expected[name]).max()) for name in PARAMETERS)
    for name, value in expected.items():
        if name in PARAMETERS:
            for k, block in blocks(value, H):
                part = got[name][k * H : (k + 1) * H]
                compare(cell, check, f"the gradient of {name}, row block {k}, ", part, block, tolerance, scale)
        else:
            compare(cell, check, f"the gradient of {name}", got[name], value, tolerance, scale)


def equal(cell: Cell, check: str, what: str, got: Array, expected: Array) -> None:
    if not np.array_equal(got, expected):
        fail(
            cell,
            check,
            f"{what} differs by up to {np.max(np.abs(got - expected)):.2e}; the bits must be equal",
        )
