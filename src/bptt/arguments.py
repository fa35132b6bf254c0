"""What users pass, checked once and completely at the public boundary: compiled code behind it trusts its arrays.

Every message names the argument, says what came and what is accepted.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

__all__ = [
    "boolean_array",
    "choice",
    "dtype",
    "fraction",
    "integer",
    "integer_array",
    "real",
    "real_array",
    "seed",
]

DTYPES = ("float32", "float64")


# Elements looked at in one go: their truth values stay in the cache.
CHECKED = 1 << 16


def integer(name: str, value: Any, minimum: int = 1) -> int:
    """An integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer of at least {minimum}; got {value!r} ({type(value).__name__})")
    if value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}; got {value}")
    return int(value)


def seed(name: str, value: Any) -> int:
    """An integer from 0 to 2^63 - 1, as compiled code takes it."""
    if integer(name, value, 0) >= 2**63:
        raise ValueError(f"{name} must be an integer of at least 0 and below 2**63; got {value}")
    return int(value)


def real(name: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf, *, open_ends: str = "") -> float:
    """A finite number between `minimum` and `maximum`; `open_ends` ("min", "max", "minmax") leaves ends out."""
    low = ("(" if "min" in open_ends or minimum == -math.inf else "[") + f"{minimum:g}"
    high = f"{maximum:g}" + (")" if "max" in open_ends or maximum == math.inf else "]")
    accepted = f"{name} must be a finite number in {low}, {high}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{accepted}; got {value!r} ({type(value).__name__})")
    value = float(value)
    below = value <= minimum if "min" in open_ends else value < minimum
    above = value >= maximum if "max" in open_ends else value > maximum
    if not math.isfinite(value) or below or above:
        raise ValueError(f"{accepted}; got {value}")
    return value


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1), as a dropout probability."""
    return real(name, value, 0.0, 1.0, open_ends="max")


def choice(name: str, value: Any, accepted: tuple[str, ...]) -> str:
    """One of the accepted words."""
    if not isinstance(value, str) or value not in accepted:
        words = ", ".join(repr(word) for word in accepted)
        raise ValueError(f"{name} must be one of {words}; got {value!r}")
    return value


def dtype(name: str, value: Any) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        result = None if value is None else np.dtype(value)  # NumPy takes None for float64
    except TypeError:
        result = None
    if result is None or result.name not in DTYPES or not result.isnative:
        raise ValueError(f"{name} must be 'float32' or 'float64'; got {value!r}")
    return result


def real_array(name: str, value: Any, dtype: np.dtype[Any], shape: tuple[int | None, ...], letters: str) -> np.ndarray:
    """A finite C-contiguous array of exactly this dtype; None in `shape` stands for any size of at least 1.

    Parameters
    ----------
    letters : str
        The names of the dimensions, for messages, for example "T, B, I".
    """
    array = np.asarray(value)
    if array.dtype != dtype:
        raise TypeError(
            f"{name} must have dtype {dtype}; got {array.dtype}: pass {name}.astype({dtype.name!r}) where that loses "
            f"nothing you need, or choose another dtype for the layer"
        )
    _of_shape(name, array, shape, letters)
    flat = array.reshape(-1)
    if not all(np.isfinite(flat[start : start + CHECKED]).all() for start in range(0, flat.size, CHECKED)):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite; got {array[where]} at index {where}")
    return np.ascontiguousarray(array)


def integer_array(
    name: str, value: Any, shape: tuple[int | None, ...], letters: str, minimum: int, maximum: int, most: str
) -> np.ndarray:
    """Integers in minimum .. maximum, which is called `most`; `shape` and `letters` as in `real_array`."""
    array, accepted = np.asarray(value), f"integers in {minimum} .. {most}={maximum}"
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be {accepted}; got dtype {array.dtype}")
    _of_shape(name, array, shape, letters)
    outside = np.argwhere((array < minimum) | (array > maximum))
    if len(outside):
        where = tuple(int(i) for i in outside[0])
        raise ValueError(f"{name} must be {accepted}; got {array[where]} at index {where}")
    return array


def boolean_array(name: str, value: Any, shape: tuple[int | None, ...], letters: str) -> np.ndarray:
    """Booleans; `shape` and `letters` as in `real_array`."""
    array = np.asarray(value)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must have dtype bool; got {array.dtype}")
    _of_shape(name, array, shape, letters)
    return array


def _of_shape(name: str, array: np.ndarray, shape: tuple[int | None, ...], letters: str) -> None:
    wanted = "(" + ", ".join(
        f"{letter}={size}" if size is not None else letter
        for letter, size in zip(letters.split(", "), shape, strict=True)
    ) + ("," if len(shape) == 1 else "") + ")"  # fmt: skip
    if array.ndim != len(shape):
        dimensions = f"{len(shape)} dimension{'s' if len(shape) > 1 else ''}"
        raise ValueError(f"{name} must have {dimensions} {wanted}; got {array.ndim}, shape {array.shape}")
    if any(have < 1 if want is None else have != want for have, want in zip(array.shape, shape, strict=True)):
        raise ValueError(f"{name} must have shape {wanted}, no dimension empty; got {array.shape}")
