"""What users pass, checked once and completely at the public boundary: compiled code behind it trusts its arrays.

Every message names the argument, says what came and what is accepted.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import numbers
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = [
    "array",
    "boolean",
    "boolean_array",
    "choice",
    "did_you_mean",
    "dtype",
    "feature_rows",
    "finite",
    "flag",
    "fraction",
    "indices",
    "integer",
    "integer_array",
    "known_keywords",
    "path",
    "real",
    "real_array",
    "seed",
    "sequence",
    "text",
]

P = ParamSpec("P")
R = TypeVar("R")

DTYPES = ("float32", "float64")
# Elements looked at in one go: their truth values stay in the cache.
CHECKED = 1 << 16


def known_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a keyword argument that `function` lacks is refused with the name of the one that is nearest.

    For a constructor the message names the class that was called. The signature stays as it is written.

    Examples
    --------
    >>> @known_keywords
    ... def train(hidden_size=8): ...
    >>> train(hiden_size=9)
    Traceback (most recent call last):
    ...
    TypeError: train() has no argument 'hiden_size'; did you mean 'hidden_size'? It accepts: hidden_size
    """
    accepted = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
    ]
    names = frozenset(accepted)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in names:
                called = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
                raise TypeError(
                    f"{called}() has no argument {name!r}{did_you_mean(name, accepted)} "
                    f"It accepts: {', '.join(accepted)}"
                )
        return function(*args, **kwargs)

    return checked


def _shown(value: Any) -> str:
    """A value for a message: cut where it is long."""
    shown = repr(value)
    return f"{shown if len(shown) <= 80 else shown[:77] + '...'} ({type(value).__name__})"


def did_you_mean(word: Any, accepted: Iterable[str]) -> str:
    """The end of a message about an unknown word: "; did you mean 'hidden_size'?", or "." where nothing is near."""
    near = difflib.get_close_matches(word, list(accepted), 1) if isinstance(word, str) else []
    return f"; did you mean {near[0]!r}?" if near else "."


def sequence(name: str, value: Any) -> list[Any]:
    """A list, tuple, range or array of one dimension, as a list; not a string."""
    sequential = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not sequential and not (isinstance(value, np.ndarray) and value.ndim == 1):
        raise TypeError(f"{name} must be a sequence; got {_shown(value)}")
    return list(value)


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string; got {_shown(value)}")
    return value


def names(name: str, value: Any) -> tuple[str, ...]:
    """A list of column names; None is none."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(column, str) for column in value):
        raise TypeError(f"{name} must be a list of column names; got {value!r}")
    return tuple(value)


def alias(name: str, value: Any) -> str | None:
    """A name for a column, or None."""
    if value is not None and (not isinstance(value, str) or not value):
        raise TypeError(f"{name} must be a str that is not empty; got {value!r}")
    return value


def plain(value: Any) -> Any:
    """The same without NumPy and tuples, as a file has words for it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def path(name: str, value: Any) -> str:
    """The name of a file: a string or a path, not empty."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a string or a pathlib.Path; got {_shown(value)}")
    given = os.fspath(value)
    if not isinstance(given, str) or not given or "\0" in given:
        raise ValueError(f"{name} must name a file; got {_shown(value)}")
    return given


def boolean(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {_shown(value)}")
    return bool(value)


def integer(name: str, value: Any, minimum: int = 1, maximum: int | None = None) -> int:
    """An integer of at least `minimum`, at most `maximum` where it is given, and of 64 bits."""
    accepted = f"{name} must be an integer of at least {minimum}"
    if maximum is not None:
        accepted += f" and at most {maximum}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{accepted}; got {_shown(value)}")
    number = int(value)
    if number < minimum or (maximum is not None and number > maximum):
        raise ValueError(f"{accepted}; got {value}")
    if number >= 2**63:
        raise ValueError(f"{accepted} and below 2**63; got {value}")
    return number


def flag(name: str, value: Any) -> int:
    """An integer of at least 0, or False for 0 and True for 1."""
    return int(value) if isinstance(value, bool | np.bool_) else integer(name, value, 0)


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
        raise TypeError(f"{accepted}; got {_shown(value)}")
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
    except (TypeError, ValueError, SyntaxError):  # NumPy parses strings as descriptions of records
        result = None
    if result is None or result.name not in DTYPES or not result.isnative:
        raise ValueError(f"{name} must be 'float32' or 'float64'; got {value!r}")
    return result


def array(name: str, value: Any) -> np.ndarray:
    """`np.asarray(value)`, which would use the values under a mask: an array with masked entries is refused."""
    if type(value) is np.ndarray:
        return value
    parts = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        raise ValueError(
            f"{name} must not have masked entries; got a masked array: pass {name}.filled(...) with values for the "
            f"masked entries"
        )
    try:
        return np.asarray(value)
    except Exception as error:  # whatever the object's own conversion raises, the message shall name the argument
        raise TypeError(f"{name} must be an array; got {type(value).__name__} ({error})") from error


def real_array(
    name: str,
    value: Any,
    dtype: np.dtype[Any],
    shape: tuple[int | None, ...],
    letters: str,
    *,
    counted: np.ndarray | None = None,
) -> np.ndarray:
    """A finite C-contiguous array of exactly this dtype; None in `shape` stands for any size of at least 1.

    It is the caller's own array or a copy, and one that compiled code may write into: a copy of a read-only one.

    Parameters
    ----------
    letters : str
        The names of the dimensions, for messages, for example "T, B, I".
    counted : bool array, optional
        Of the first dimensions of the array; where it is False, the array may hold anything, and what is returned is
        a copy with zeros there.
    """
    checked = array(name, value)
    if checked.dtype != dtype:
        raise TypeError(
            f"{name} must have dtype {dtype}; got {checked.dtype}: pass {name}.astype({dtype.name!r}) if the "
            f"loss of precision is acceptable, or choose another dtype for the layer"
        )
    _of_shape(name, checked, shape, letters)
    if counted is not None:
        where = counted.reshape(counted.shape + (1,) * (checked.ndim - counted.ndim))
        checked = np.where(where, checked, checked.dtype.type(0))
    finite(name, checked)
    return checked if checked.flags.carray else np.array(checked, order="C")


def finite(name: str, checked: np.ndarray) -> None:
    """Refuse NaN and infinity, and say where the first one stands."""
    flat = checked.reshape(-1)
    if not all(np.isfinite(flat[start : start + CHECKED]).all() for start in range(0, flat.size, CHECKED)):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(checked))[0])
        raise ValueError(f"{name} must be finite; got {checked[where]} at index {where}")


def integer_array(
    name: str, value: Any, shape: tuple[int | None, ...], letters: str, minimum: int, maximum: int, most: str
) -> np.ndarray:
    """Integers in minimum .. maximum, which is called `most`; `shape` and `letters` as in `real_array`."""
    checked, accepted = array(name, value), f"integers in {minimum} .. {most}={maximum}"
    if checked.dtype.kind not in "iu":
        raise TypeError(f"{name} must be {accepted}; got dtype {checked.dtype}")
    _of_shape(name, checked, shape, letters)
    outside = np.argwhere((checked < minimum) | (checked > maximum))
    if len(outside):
        where = tuple(int(i) for i in outside[0])
        raise ValueError(f"{name} must be {accepted}; got {checked[where]} at index {where}")
    return checked


def indices(name: str, value: Any, size: int) -> np.ndarray:
    """Integers of any shape in 0 .. size - 1."""
    found = array(name, value)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers in 0 .. {size - 1}; got dtype {found.dtype}")
    if found.size and (found.min() < 0 or found.max() >= size):
        raise ValueError(f"{name} must be integers in 0 .. {size - 1}; got {found.min()} .. {found.max()}")
    return found


def feature_rows(name: str, value: Any, dtype: np.dtype[Any], features: int) -> np.ndarray:
    """A `real_array` of shape (..., features) as rows."""
    found = array(name, value)
    rows = found.reshape(-1, found.shape[-1]) if found.size and found.ndim else found
    return real_array(name, rows, dtype, (None, features), "rows, features")


def boolean_array(name: str, value: Any, shape: tuple[int | None, ...], letters: str) -> np.ndarray:
    """Booleans; `shape` and `letters` as in `real_array`."""
    checked = array(name, value)
    if checked.dtype != np.bool_:
        raise TypeError(f"{name} must have dtype bool; got {checked.dtype}")
    _of_shape(name, checked, shape, letters)
    return checked


def _of_shape(name: str, array: np.ndarray, shape: tuple[int | None, ...], letters: str) -> None:
    if array.ndim == len(shape) and all(
        have >= 1 if want is None else have == want for have, want in zip(array.shape, shape, strict=True)
    ):
        return
    wanted = "(" + ", ".join(
        f"{letter}={size}" if size is not None else letter
        for letter, size in zip(letters.split(", "), shape, strict=True)
    ) + ("," if len(shape) == 1 else "") + ")"  # fmt: skip
    if array.ndim != len(shape):
        dimensions = f"{len(shape)} dimension{'s' if len(shape) > 1 else ''}"
        raise ValueError(f"{name} must have {dimensions} {wanted}; got {array.ndim}, shape {array.shape}")
    raise ValueError(f"{name} must have shape {wanted}, no dimension empty; got {array.shape}")
