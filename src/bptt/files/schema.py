"""Checks of the header and the tensors of a file, before anything is made from them.

Every message names the field, by the path that `within` builds up ("models[0].settings: ...").
"""

from __future__ import annotations

import collections
import contextlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bptt import arguments

__all__ = [
    "check_equal",
    "check_layers",
    "check_tensors",
    "flag",
    "listing",
    "parse_json",
    "record",
    "shortened",
    "text",
    "within",
]

# Objects and lists inside each other, and all of them together.
DEEPEST, MOST = 32, 1_000_000
# Characters of a message.
LONGEST = 800
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@contextlib.contextmanager
def within(field: str) -> Iterator[None]:
    """Errors that come up inside are those of this field of a file: ValueErrors that name it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = str(error)
        if len(message) > LONGEST:  # other checks show what they got, which may be of any length here
            message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
        raise ValueError(f"{field}: {message}") from None
    except (ArithmeticError, AttributeError, LookupError) as error:
        raise ValueError(f"{field}: {type(error).__name__}: {error}") from None


def parse_json(content: str) -> Any:
    """The value of JSON whose depth and numbers are bounded, without duplicate keys.

    Parameters
    ----------
    content : str

    Raises
    ------
    ValueError
        `content` is not JSON, repeats a key, is nested too deeply, has too many parts, NaN, an infinite number or an
        integer of more than 64 bits.

    Examples
    --------
    >>> parse_json('{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    >>> parse_json("[" * 100 + "]" * 100)
    Traceback (most recent call last):
    ...
    ValueError: JSON nested more than 32 deep
    """
    if content.count("[") + content.count("{") > MOST:
        outside = STRING.sub("", content)
        if outside.count("[") + outside.count("{") > MOST:
            raise ValueError(f"JSON of more than {MOST:,} objects and lists")
    try:
        value = json.loads(
            content,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError(f"JSON nested more than {DEEPEST} deep") from None
    level: list[Any] = [[value]]
    for _ in range(DEEPEST + 1):
        level = [
            part
            for container in level
            for part in (container.values() if isinstance(container, dict) else container)
            if isinstance(part, dict | list)
        ]
        if not level:
            return value
    raise ValueError(f"JSON nested more than {DEEPEST} deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = collections.Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"JSON with the key {shortened(twice)!r} twice")
    return result


def _constant(word: str) -> Any:
    raise ValueError(f"JSON has no {word}")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"JSON with a number outside of float64: {shortened(digits)}")
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise ValueError(f"JSON with an integer of more than 64 bits: {shortened(digits)}")
    return int(digits)


def shortened(shown: Any) -> str:
    """A value of a file, which may be of any length, for a message."""
    written = shown if isinstance(shown, str) else repr(shown)
    return written if len(written) <= 80 else f"{written[:77]}..."


def record(value: Any, fields: Iterable[str]) -> dict[str, Any]:
    """An object with exactly these fields."""
    fields = tuple(fields)
    if not isinstance(value, dict):
        raise ValueError(f"must be an object with the fields {', '.join(fields)}; got {shortened(value)}")
    for name in fields:
        if name not in value:
            raise ValueError(f"{name!r} is missing")
    for name in value:
        if name not in fields:
            raise ValueError(f"{shortened(name)!r} is not a known field; known are {', '.join(fields)}")
    return value


def listing(name: str, value: Any) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list; got {shortened(value)}")
    return value


def text(name: str, value: Any) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a string that is not empty; got {shortened(value)}")
    return value


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; got {shortened(value)}")
    return value


def check_equal(found: Mapping[str, Any], expected: Mapping[str, Any], reason: str) -> None:
    """Check that each field has the value that follows from others; `reason` names those.

    Numbers are compared with their types: true is not 1.
    """
    record(found, expected)
    for name, value in expected.items():
        if _typed(found[name]) != _typed(value):
            value = list(value) if isinstance(value, tuple) else value  # as the file writes it
            raise ValueError(f"{name} must be {shortened(value)}, {reason}; got {shortened(found[name])}")


def _typed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_typed(part) for part in value]
    if isinstance(value, dict):
        return {name: _typed(part) for name, part in value.items()}
    return type(value), value


def check_layers(tensors: Iterable[str], num_layers: Any, prefix: str) -> None:
    """Check that the number of layers matches the tensors, before a table of all shapes is made."""
    found = sum(name.startswith(f"{prefix}weight_ih_l") for name in tensors)
    if type(num_layers) is not int or num_layers != found:
        raise ValueError(f"num_layers is {num_layers!r}, but the tensors are of {found} layers")


def check_tensors(
    tensors: Mapping[str, np.ndarray],
    shapes: Mapping[str, Sequence[int]],
    dtype: Any,
    *,
    prefix: str = "",
    finite: bool = True,
    optional: Iterable[str] = (),
) -> None:
    """Check that the tensors have exactly these names, dtype and shapes, and are finite unless `finite` is False.

    Parameters
    ----------
    tensors : mapping of str to array
    shapes : mapping of str to sequence of int
        Sizes as plain integers, of any size: nothing is allocated.
    dtype : dtype
    prefix : str
        What the names begin with in the file, for messages.
    finite : bool
    optional : iterable of str
        Names that may be there, too, and are checked elsewhere.
    """
    known = {*shapes, *optional}
    for name in shapes:
        if name not in tensors:
            raise ValueError(f"tensor {prefix + name!r} is missing")
    for name in tensors:
        if name not in known:
            raise ValueError(f"tensor {prefix + name!r} is not one of this model")
    for name, shape in shapes.items():
        array, called = tensors[name], f"tensor {prefix + name!r}"
        if array.dtype != dtype:
            raise ValueError(f"{called} must be {np.dtype(dtype)}; got {array.dtype}")
        if array.shape != tuple(shape):
            raise ValueError(f"{called} must have shape {tuple(shape)}; got {array.shape}")
        if finite and array.dtype.kind == "f":
            arguments.finite(called, array)
