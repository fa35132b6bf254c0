"""The checks that every cell must pass, for authors of new cells.

A cell that passes `check_cell` computes what its naive reference computes, in both dtypes and at the sizes
where kernels go wrong, and its backward pass is the derivative of its forward pass by three independent
measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bptt import arguments
from bptt.cells.table import Cell
from bptt.numerics.matmul import panel_shape
from bptt.numerics.tiles import TILE_ROWS
from bptt.testing import checks
from bptt.testing.case import Reference, make

__all__ = ["Reference", "check_cell"]


def __dir__() -> list[str]:
    return list(__all__)


def check_cell(
    cell: Cell,
    reference: Reference,
    *,
    sizes: Sequence[tuple[int, int, int, int]] | None = None,
    dtypes: Sequence[str] = ("float64", "float32"),
    seed: int = 0,
) -> None:
    """Run a cell through the library's own unroll, and compare it with its reference and with itself.

    The checks, in this order: values, gradients and error signals of both dtypes against the reference in
    float64, within the rounding of sums over T and I + H; the reference's complex step (Squire & Trapp 1998);
    the adjoint identity <u, J v> = <J^T u, v>, J v by differences of the cell's own forward; a gradient in
    every block of every parameter; absent errors; one step at a time against all at once; unequal lengths and
    reset states against each piece alone; a second backward from the same tape; NaN.

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
        An argument has another type or is outside its range.
    AssertionError
        Names the cell, the check that failed and the quantity.

    Examples
    --------
    A reference is short:

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
            checks.check_reference(cell, reference, make(cell, T, B, I, H, dtype, seed))
    if "float64" in dtypes:
        case = make(cell, 5, 3, 4, 7, "float64", seed)
        checks.check_complex_step(cell, reference, case, seed)
        checks.check_adjoint_identity(cell, case, seed)
        checks.check_every_block(cell, case)
    for dtype in dtypes:
        case = make(cell, 5, 3, 4, 7, dtype, seed)
        checks.check_absent_errors(cell, reference, case)
        checks.check_step_by_step(cell, case)
        checks.check_pieces(cell, case)
        checks.check_backward_twice(cell, case)
        checks.check_nan(cell, case)


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
