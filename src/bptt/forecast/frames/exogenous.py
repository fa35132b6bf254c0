"""Exogenous columns: numbers unchanged, categories as one column of zeros and ones for each value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.frames.columns import Where
from bptt.user_warnings import warn

__all__ = ["CALENDAR", "categories_from_settings", "categories_of", "check_names", "features", "titles"]

# The panel's columns of the calendar are called "calendar=...".
CALENDAR = "calendar"
# More values than this are names rather than categories.
MOST_CATEGORIES = 1000


def check_names(argument: str, names: Any, reserved: Sequence[str]) -> tuple[str, ...]:
    """Names of columns: no name twice, and none that has another meaning."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{argument} must be a sequence of names of columns; got {names!r} ({type(names).__name__})")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must hold names of columns (str); got {name!r} ({type(name).__name__})")
        if name in reserved or name == CALENDAR:
            raise ValueError(
                f"{argument} must name columns other than {[*reserved, CALENDAR]}, which have another meaning; "
                f"got {name!r}: rename the column"
            )
        if names.count(name) > 1:
            raise ValueError(f"{argument} must name each column once; got {name!r} {names.count(name)} times")
        if name.split("=")[0] != name and name.split("=")[0] in (*names, CALENDAR):
            raise ValueError(
                f"{argument} must tell {name!r} apart from a value of the column {name.split('=')[0]!r}; rename it"
            )
    return tuple(names)


def categories_of(frame: str, df: pd.DataFrame, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The values of each of these columns that is one of categories, as text."""
    found = {name: _categories(frame, df[name]) for name in names}
    return {name: categories for name, categories in found.items() if categories is not None}


def _categories(frame: str, column: pd.Series[Any]) -> tuple[str, ...] | None:
    dtype = column.dtype
    place = f"{frame}[{column.name!r}]"
    if isinstance(dtype, pd.CategoricalDtype):
        values: Sequence[Any] = list(dtype.categories)
    elif pd.api.types.is_bool_dtype(dtype):
        values = [False, True]
    elif pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return None
    elif pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        values = list(pd.unique(column.dropna()))
        if pd.api.types.infer_dtype(values, skipna=True) in ("integer", "floating", "mixed-integer-float", "decimal"):
            raise ValueError(
                f"{place} has dtype {dtype} but holds numbers; convert: {place} = pd.to_numeric({place}), or "
                "astype('category') if they are names"
            )
    else:
        raise ValueError(
            f"{place} must be numbers or categories (strings, bool, category); got dtype {dtype}: convert it to numbers"
        )
    texts = [str(value) for value in values]
    categories = tuple(dict.fromkeys(texts if isinstance(dtype, pd.CategoricalDtype) else sorted(texts)))
    if len(categories) > MOST_CATEGORIES:
        raise ValueError(
            f"{place} has {len(categories)} different values, and each would become a column; accepted: "
            f"at most {MOST_CATEGORIES}, or numbers"
        )
    return categories


def categories_from_settings(settings: Any, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Categories that a file holds, of some of the columns `names`."""
    if not isinstance(settings, dict):
        raise ValueError(f"must be an object with the values of each column; got {settings!r}")
    for name, values in settings.items():
        if name not in names:
            raise ValueError(f"{name!r} is not one of the columns {', '.join(names) or '(none)'}")
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{name!r} must be a list of strings")
        if len(set(values)) < len(values) or len(values) > MOST_CATEGORIES:
            raise ValueError(f"{name!r} must be a list of at most {MOST_CATEGORIES} values, each once")
    return {name: tuple(values) for name, values in settings.items()}


def titles(names: Sequence[str], categories: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of the panel's columns that these columns of a frame become."""
    return tuple(
        title
        for name in names
        for title in ([f"{name}={category}" for category in categories[name]] if name in categories else [name])
    )


def features(
    frame: str, df: pd.DataFrame, names: Sequence[str], categories: Mapping[str, tuple[str, ...]], where: Where
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Columns of a frame as float32 (rows, k) and the names of these; none may miss a value.

    Values that are not among the categories become zeros in all columns of theirs, with one warning.
    """
    parts = [np.empty((len(df), 0), np.float32)]
    unknown: list[str] = []
    for name in names:
        missing = np.flatnonzero(df[name].isna())
        if len(missing):
            advice = (
                "or drop the column"
                if frame == "static_df"
                else "for example with the value before (groupby(...).ffill())"
            )
            raise ValueError(
                f"Found missing values in [{name!r}] of {frame}: {len(missing)}, the first at {where(missing[0])}; "
                f"fill them, {advice}"
            )
        if name in categories:
            part, strange = _one_hot(df[name], categories[name])
            parts.append(part)
            unknown += [f"{frame}[{name!r}] has {value!r} ({count} rows)" for value, count in strange]
        else:
            parts.append(_numbers(frame, df[name], where)[:, None])
    if unknown:
        warn(
            f"{'; '.join(unknown[:5])}{'; ...' if len(unknown) > 5 else ''}: {len(unknown)} categories that the "
            "training data does not have; all their indicator columns are 0"
        )
    return np.concatenate(parts, axis=1), titles(names, categories)


def _numbers(frame: str, column: pd.Series[Any], where: Where) -> NDArray[np.float32]:
    dtype = column.dtype
    numeric = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
    if not numeric or pd.api.types.is_bool_dtype(dtype):
        raise ValueError(f"{frame}[{column.name!r}] must be numbers, as in the training data; got dtype {dtype}")
    with np.errstate(over="ignore"):  # what overflows is found below
        numbers = column.to_numpy(dtype=np.float64).astype(np.float32)
    infinite = np.flatnonzero(~np.isfinite(numbers))
    if len(infinite):
        raise ValueError(
            f"{frame}[{column.name!r}] must be finite in float32; got {column.iloc[infinite[0]]} at "
            f"{where(infinite[0])} ({len(infinite)} such values)"
        )
    return numbers


def _one_hot(column: pd.Series[Any], categories: tuple[str, ...]) -> tuple[NDArray[np.float32], list[tuple[str, int]]]:
    """Zeros and ones (rows, categories), and the values that are none of them with their numbers of rows."""
    codes, unique = pd.factorize(column)
    values = [str(value) for value in unique]
    place_of = {category: place for place, category in enumerate(categories)}
    places = np.array([place_of.get(value, -1) for value in values], np.int64)
    counts = np.bincount(codes, minlength=len(values))
    hot = places[codes]
    known = np.flatnonzero(hot >= 0)
    result = np.zeros((len(column), len(categories)), np.float32)
    result[known, hot[known]] = 1
    return result, [(values[k], int(counts[k])) for k in np.flatnonzero(places < 0)]
