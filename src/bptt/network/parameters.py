"""One flat vector per network, named views into it: PyTorch's names, order and shapes.

The optimizers see the flat vector, users see the views; both are the same memory, and stay so: what is assigned is
copied in. Row blocks of `weight_ih_l0` and `weight_hh_l0` stand in PyTorch's order (i f g o; r z n); `cells.table`
says which block of pre-activations each makes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NoReturn

import numpy as np

from bptt import arguments
from bptt.cells.table import Cell

__all__ = ["Parameters", "allocate", "convert", "layer_shapes", "load", "starts", "views"]

Shapes = dict[str, tuple[int, ...]]
# Far beyond any use, and few enough for their names to be listed.
MOST_LAYERS = 10_000


def layer_shapes(cell: Cell, input_size: int, hidden_size: int, num_layers: int, prefix: str = "") -> Shapes:
    """Names and shapes of the parameters of stacked layers, in PyTorch's order."""
    if num_layers > MOST_LAYERS:
        raise ValueError(f"num_layers must be at most {MOST_LAYERS}; got {num_layers}")
    shapes: Shapes = {}
    for layer in range(num_layers):
        inputs = input_size if layer == 0 else hidden_size
        shapes[f"{prefix}weight_ih_l{layer}"] = (len(cell.x_rows) * hidden_size, inputs)
        shapes[f"{prefix}weight_hh_l{layer}"] = (len(cell.h_rows) * hidden_size, hidden_size)
        shapes[f"{prefix}bias_ih_l{layer}"] = (len(cell.x_rows) * hidden_size,)
        shapes[f"{prefix}bias_hh_l{layer}"] = (len(cell.h_rows) * hidden_size,)
    return shapes


def size_of(shapes: Shapes) -> int:
    """How many numbers arrays of these shapes hold together."""
    return sum(math.prod(shape) for shape in shapes.values())


def starts(shapes: Shapes) -> dict[str, int]:
    """Where in the flat vector each parameter begins."""
    ends = itertools.accumulate((math.prod(shape) for shape in shapes.values()), initial=0)
    return dict(zip(shapes, ends, strict=False))


def views(flat: np.ndarray, shapes: Shapes) -> dict[str, np.ndarray]:
    """The parts of `flat` under their names, in order."""
    named, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        named[name] = flat[start : start + size].reshape(shape)
        start += size
    return named


def allocate(shapes: Shapes, dtype: np.dtype[Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A flat vector of zeros for these shapes, and its views."""
    flat = np.zeros(size_of(shapes), dtype)
    return flat, views(flat, shapes)


class Parameters(MutableMapping[str, np.ndarray]):
    """The parameters of a layer by name: views into its flat vector.

    `parameters[name][...] = array` and `parameters[name] = array` do the same: the values are copied into the flat
    vector, if the shape is right and they are finite in the layer's dtype. Names cannot be added or deleted.
    """

    def __init__(self, named: dict[str, np.ndarray]) -> None:
        self._named = named

    def __getitem__(self, name: str) -> np.ndarray:
        # A new view each time: a user may change the shape of an array that is held here, in place.
        return self._known(name)[...]

    def __setitem__(self, name: str, value: Any) -> None:
        view = self._known(name)
        if not is_same(value, view):  # `parameters[name] -= ...` assigns what it has already written
            view[...] = convert(f"parameters[{name!r}]", value, view)

    def __delitem__(self, name: str) -> NoReturn:
        raise TypeError(f"parameters[{name!r}] cannot be deleted: a layer always has all of its parameters")

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __repr__(self) -> str:
        return f"Parameters({', '.join(f'{name} {view.shape}' for name, view in self._named.items())})"

    def _known(self, name: str) -> np.ndarray:
        if name not in self._named:
            raise KeyError(
                f"parameters has no name {name!r}{arguments.did_you_mean(name, self._named)} "
                f"It has: {', '.join(self._named)}"
            )
        return self._named[name]


def is_same(value: Any, view: np.ndarray) -> bool:
    """Whether `value` is an array of the very memory of `view`, element for element."""
    return isinstance(value, np.ndarray) and value.__array_interface__ == view.__array_interface__


def convert(name: str, value: Any, like: np.ndarray) -> np.ndarray:
    """The real numbers `value` in the dtype of `like`, of its shape, and finite in that dtype.

    Raises
    ------
    TypeError, ValueError
        It does not hold real numbers, has another shape, or is not finite; the message begins with `name`.
    """
    array = arguments.array(name, value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers; got dtype {array.dtype}")
    if array.shape != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}; got {array.shape}")
    with np.errstate(over="ignore"):
        array = array.astype(like.dtype)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite in {like.dtype}; it holds NaN, infinity or a larger number")
    return array


def load(parameters: Mapping[str, np.ndarray], mapping: Mapping[str, Any]) -> None:
    """Copy the values of `mapping` into the views, all or nothing.

    Raises
    ------
    TypeError, ValueError
        `mapping` is not a mapping, lacks a name, has one too many, or holds an array of another shape, of numbers that
        are not real, or not finite. Nothing was copied then.
    """
    if not isinstance(mapping, Mapping):
        raise TypeError(f"state_dict must be a mapping of names to arrays; got {type(mapping).__name__}")
    missing = [name for name in parameters if name not in mapping]
    unexpected = [name for name in mapping if name not in parameters]
    if missing or unexpected:
        raise ValueError(
            f"state_dict must have the keys {', '.join(parameters)}; missing: {', '.join(missing) or 'none'}; "
            f"unexpected: {', '.join(map(str, unexpected)) or 'none'}"
        )
    arrays = {name: convert(f"state_dict[{name!r}]", mapping[name], view) for name, view in parameters.items()}
    for name, view in parameters.items():
        view[...] = arrays[name]
