"""One flat vector per network, named views into it: PyTorch's names, order and shapes.

The optimizers see the flat vector, users see the views; both are the same memory. Row blocks of `weight_ih_l0` and
`weight_hh_l0` stand in PyTorch's order (i f g o; r z n); `cells.table` says which block of pre-activations each makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.cells.table import Cell

__all__ = ["allocate", "layer_shapes", "load", "views"]

Shapes = dict[str, tuple[int, ...]]


def layer_shapes(cell: Cell, input_size: int, hidden_size: int, num_layers: int, prefix: str = "") -> Shapes:
    """Names and shapes of the parameters of stacked layers, in PyTorch's order."""
    shapes: Shapes = {}
    for layer in range(num_layers):
        inputs = input_size if layer == 0 else hidden_size
        shapes[f"{prefix}weight_ih_l{layer}"] = (len(cell.x_rows) * hidden_size, inputs)
        shapes[f"{prefix}weight_hh_l{layer}"] = (len(cell.h_rows) * hidden_size, hidden_size)
        shapes[f"{prefix}bias_ih_l{layer}"] = (len(cell.x_rows) * hidden_size,)
        shapes[f"{prefix}bias_hh_l{layer}"] = (len(cell.h_rows) * hidden_size,)
    return shapes


def views(flat: np.ndarray, shapes: Shapes) -> dict[str, np.ndarray]:
    """The parts of `flat` under their names, in order."""
    named, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        named[name] = flat[start : start + size].reshape(shape)
        start += size
    return named


def allocate(shapes: Shapes, dtype: np.dtype[Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A flat vector of zeros for these shapes, and its views."""
    flat = np.zeros(sum(int(np.prod(shape)) for shape in shapes.values()), dtype)
    return flat, views(flat, shapes)


def load(parameters: dict[str, np.ndarray], mapping: Mapping[str, Any]) -> None:
    """Copy the values of `mapping` into the views, all or nothing.

    Raises
    ------
    TypeError, ValueError
        `mapping` is no mapping, lacks a name, has one too many, or holds an array of another shape, of numbers that
        are not real, or not finite. Nothing was copied then.
    """
    if not isinstance(mapping, Mapping):
        raise TypeError(f"state_dict must be a mapping of names to arrays; got {type(mapping).__name__}")
    missing, unexpected = (
        sorted(parameters.keys() - mapping.keys()),
        sorted(mapping.keys() - parameters.keys()),
    )
    if missing or unexpected:
        raise ValueError(
            f"state_dict must have the keys {', '.join(parameters)}; missing: {', '.join(missing) or 'none'}; "
            f"unexpected: {', '.join(map(str, unexpected)) or 'none'}"
        )
    arrays = {}
    for name, view in parameters.items():
        array = np.asarray(mapping[name])
        if array.dtype.kind not in "fiu":
            raise TypeError(f"state_dict[{name!r}] must hold real numbers; got dtype {array.dtype}")
        if array.shape != view.shape:
            raise ValueError(f"state_dict[{name!r}] must have shape {view.shape}; got {array.shape}")
        with np.errstate(over="ignore"):
            array = array.astype(view.dtype)
        if not np.isfinite(array).all():
            raise ValueError(
                f"state_dict[{name!r}] must be finite in {view.dtype}; it holds NaN, infinity or a larger number"
            )
        arrays[name] = array
    for name, view in parameters.items():
        view[...] = arrays[name]
