"""The one file of a Forecaster: its models, the series they were trained on, and the calibration of its intervals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bptt.files.saving import check_replaceable, read_model, write_tensors
from bptt.files.schema import check_equal, check_tensors, listing, record, within
from bptt.forecast.evaluation.fitted import Trained
from bptt.forecast.evaluation.intervals import Calibration
from bptt.forecast.fitting.interface import check_aliases, check_models, column_names
from bptt.forecast.fitting.local_scaling import SCALERS, Scaling
from bptt.forecast.frames.panel import Panel
from bptt.forecast.frames.schema import FrameSchema
from bptt.forecast.models import GRU, LSTM, RNN, Recurrent
from bptt.forecast.pretrained import Pretrained

__all__ = ["MODELS", "read", "write"]

# The models that a file may hold.
MODELS: dict[str, type[Recurrent | Pretrained]] = {cls.__name__: cls for cls in (RNN, GRU, LSTM, Pretrained)}

FORMAT, VERSION = "bptt.Forecaster", 2

PANEL = ("starts", "ds", "y", "observed", "futr", "hist", "static")
NAMES = ("futr_names", "hist_names", "static_names")
FIELDS = ("format", "version", "models", "local_scaler_type", "encoding", "unit", "ids", *NAMES)
# The unit of the times of a panel: nanoseconds since 1970, or the integers of the frame.
UNITS = {"ns": np.dtype("datetime64[ns]"), "integer": np.dtype(np.int64)}


def write(
    path: str | os.PathLike[str],
    trained: Trained,
    panel: Panel,
    encoding: FrameSchema,
    local_scaler_type: str | None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a trained Forecaster as one safetensors file, whole or not at all.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is not set, or it is not a model file.
    OSError
        The file cannot be written; the message names the path.
    ValueError
        If ids, dtypes or the frequency cannot be written.
    """
    check_replaceable(path, overwrite=overwrite)  # before anything is copied
    tensors = {f"panel.{name}": getattr(panel, name) for name in PANEL}
    tensors["panel.ds"] = panel.ds.view(np.int64)
    if trained.scaling is not None:
        tensors["scaling.center"], tensors["scaling.spread"] = trained.scaling.center, trained.scaling.spread
    models = []
    for at, (model, alias) in enumerate(zip(trained.models, trained.aliases, strict=True)):
        models.append({"class": type(model).__name__, "alias": alias, "settings": model.settings})
        tensors.update({f"models.{at}.{name}": array for name, array in model.tensors().items()})
        calibration = trained.calibrations[at]
        if calibration is not None:
            tensors[f"calibrations.{at}.quantiles"] = np.array(calibration.quantiles)
            tensors[f"calibrations.{at}.errors"] = calibration.errors
    metadata = {
        "models": models,
        "local_scaler_type": local_scaler_type,
        "encoding": encoding.settings,
        "unit": "ns" if panel.ds.dtype.kind == "M" else "integer",
        "ids": _plain_ids(panel.ids),
        **{name: list(getattr(panel, name)) for name in NAMES},
    }
    write_tensors(path, FORMAT, VERSION, tensors, metadata, overwrite=overwrite)


def read(path: str | os.PathLike[str]) -> tuple[Trained, Panel, FrameSchema, str | None]:
    """Read a file of `write`.

    Raises
    ------
    FileNotFoundError, OSError
        If the file is missing or cannot be read.
    ValueError
        Naming the path and the reason: a truncated file, one of another program or of a newer version, parts that
        are missing or do not fit together.
    """
    return read_model(path, FORMAT, VERSION, _build)


def _build(tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> tuple[Trained, Panel, FrameSchema, str | None]:
    record(metadata, FIELDS)
    if not listing("models", metadata["models"]):
        raise ValueError("holds no models")
    with within("encoding"):
        encoding = FrameSchema.from_settings(metadata["encoding"])
    panel = _panel(tensors, metadata, encoding)
    local_scaler_type = metadata["local_scaler_type"]
    scale = _scaling(_part(tensors, "scaling."), local_scaler_type, len(panel))
    models, aliases, calibrations = [], [], []
    for at, part in enumerate(metadata["models"]):
        with within(f"models[{at}]"):
            record(part, ("class", "alias", "settings"))
            name = part["class"]
            if not isinstance(name, str) or name not in MODELS:
                raise ValueError(f"a model of the class {name!r}, known are {', '.join(sorted(MODELS))}")
            with within("settings"):
                settings = _of_now(part["settings"], metadata["version"])
                own = _part(tensors, f"models.{at}.")
                model = MODELS[name].from_settings(settings, own, panel, encoding.freq)
        models.append(model)
        aliases.append(part["alias"])
        calibrations.append(_calibration(_part(tensors, prefix := f"calibrations.{at}."), prefix, model))
    _check_names(tensors, len(models))
    _check_models(models, aliases, encoding)
    trained = Trained(tuple(models), tuple(aliases), encoding.freq, scale, tuple(calibrations))
    return trained, panel, encoding, local_scaler_type


def _of_now(settings: Any, version: int) -> Any:
    """The settings of a model as this version writes them: in the first one, forecasts that are read were observed."""
    plan = settings.get("plan") if isinstance(settings, dict) else None
    if version < 2 and isinstance(plan, dict):
        return settings | {"plan": plan | {"marks_forecasts": False}}
    return settings


def _check_names(tensors: Mapping[str, np.ndarray], models: int) -> None:
    """Every tensor belongs to a part; which there are in each, that part checks."""
    parts = ("panel", "scaling", *(f"{kind}.{at}" for kind in ("models", "calibrations") for at in range(models)))
    prefixes = tuple(f"{part}." for part in parts)
    for name in tensors:
        if not name.startswith(prefixes):
            raise ValueError(f"tensor {name!r} is not one of this Forecaster")


def _check_models(models: list[Any], aliases: list[Any], encoding: FrameSchema) -> None:
    """What a Forecaster checks of its models, and that the columns that were read are those that the models need."""
    with within("models"):
        check_models(models)
        check_equal({"alias": aliases}, {"alias": column_names(models)}, "by the models' own")
        check_aliases(aliases, (encoding.id_col, encoding.time_col, encoding.target_col, "cutoff"))
    needed: dict[str, Any] = {
        name: tuple(dict.fromkeys(column for model in models for column in getattr(model, f"{name}_exog_list")))
        for name in ("futr", "hist", "stat")
    }
    needed["calendar"] = any(model.calendar for model in models)
    with within("encoding"):
        check_equal({name: getattr(encoding, name) for name in needed}, needed, "by the models' arguments")


def _panel(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any], encoding: FrameSchema) -> Panel:
    arrays: dict[str, Any] = _part(tensors, "panel.")
    unit, freq = metadata["unit"], encoding.freq
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f"times in the unit {unit!r}, known are {', '.join(UNITS)}")
    check_equal({"unit": unit}, {"unit": "integer" if freq.is_integer else "ns"}, f"with {freq}")
    ids = _ids(listing("ids", metadata["ids"]), encoding.id_dtype)
    names: dict[str, Any] = {name: tuple(listing(name, metadata[name])) for name in NAMES}
    check_equal(names, encoding.names, "by the columns and categories of the encoding")
    for name in PANEL:
        if name not in arrays:
            raise ValueError(f"tensor 'panel.{name}' is missing")
    starts, ds = arrays["starts"], arrays["ds"]
    first = starts.ndim == 1 and starts.size == len(ids) + 1 and starts.dtype == np.int64 and starts[0] == 0
    if not first or (starts[1:] <= starts[:-1]).any() or (starts.size > 1 and starts[-1] != ds.size):
        raise ValueError(f"tensor 'panel.starts' does not tell the first rows of {len(ids)} series")
    rows = int(starts[-1])
    shapes: dict[str, tuple[int, ...]] = {"starts": (len(ids) + 1,), "ds": (rows,), "y": (rows,), "observed": (rows,)}
    shapes |= {
        part: (count, len(names[f"{part}_names"]))
        for part, count in (("futr", rows), ("hist", rows), ("static", len(ids)))
    }
    kinds = {"starts": "int64", "ds": "int64", "y": "float64", "observed": "bool"}
    check_tensors(arrays, {}, None, prefix="panel.", optional=shapes)
    for name, shape in shapes.items():
        check_tensors({name: arrays[name]}, {name: shape}, kinds.get(name, "float32"), prefix="panel.")
    if arrays["y"][~arrays["observed"]].any():
        raise ValueError("tensor 'panel.y' must be 0 where 'panel.observed' is false")
    arrays["ds"] = ds.view(UNITS[unit])
    panel = Panel(ids=ids, **arrays, **names)
    _check_times(panel, encoding)
    return panel


def _check_times(panel: Panel, encoding: FrameSchema) -> None:
    """Times of each series as a frame could have had them: one after the other on the grid of the frequency."""
    if (panel.ds.view(np.int64) == np.iinfo(np.int64).min).any():  # NumPy's "not a time"
        raise ValueError("tensor 'panel.ds' has a time that is missing")
    ordinal, phase, valid = encoding.freq.positions(panel.ds)
    inside = np.ones(ordinal.size, bool)
    inside[panel.starts[:-1]] = False
    follows = (np.diff(ordinal, prepend=ordinal[:1]) == 1) & (np.diff(phase, prepend=phase[:1]) == 0)
    if not valid.all() or not follows[inside].all():
        raise ValueError(f"tensor 'panel.ds' must have the times of {encoding.freq} one after the other")
    with within("tensor 'panel.ds'"):
        encoding.rows(panel, np.zeros(1, np.int64), panel.ds[:1])


def _scaling(tensors: Mapping[str, np.ndarray], kind: Any, series: int) -> Scaling | None:
    if kind is None:
        check_tensors(tensors, {}, np.float64, prefix="scaling.")
        return None
    if not isinstance(kind, str) or kind not in SCALERS:
        raise ValueError(f"local_scaler_type {kind!r} is unknown; known are {', '.join(SCALERS)}")
    check_tensors(tensors, {"center": (series,), "spread": (series,)}, np.float64, prefix="scaling.")
    if (tensors["spread"] <= 0).any():
        raise ValueError(f"tensor 'scaling.spread' must be positive; got {tensors['spread'].min()}")
    return Scaling(tensors["center"], tensors["spread"])


def _calibration(tensors: Mapping[str, np.ndarray], prefix: str, model: Any) -> Calibration | None:
    if not tensors:
        return None
    Q = len(model.quantiles)
    check_tensors(tensors, {"quantiles": (Q,)}, np.float64, prefix=prefix, optional=("errors",))
    if tuple(tensors["quantiles"].tolist()) != tuple(model.quantiles):
        raise ValueError(f"tensor '{prefix}quantiles' must be {model.quantiles}; got {tensors['quantiles'].tolist()}")
    errors = tensors.get("errors", np.empty(0))
    windows = errors.shape[0] if errors.ndim else 0
    check_tensors(
        tensors, {"quantiles": (Q,), "errors": (windows, model.h, Q)}, np.float64, prefix=prefix, finite=False
    )
    missing = np.isnan(errors)
    if np.isinf(errors).any() or (missing.any(axis=2) != missing.all(axis=2)).any():
        raise ValueError(f"tensor '{prefix}errors' must be finite, or NaN for all quantiles of a step")
    return Calibration(tuple(model.quantiles), errors)


def _part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _plain_ids(ids: np.ndarray) -> list[Any]:
    values: list[Any] = ids.tolist() if ids.dtype.kind in "iuO" else list(ids)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(
                f"ids of the type {type(value).__name__} cannot be written to a file; accepted: strings and integers; "
                f"got {value!r}"
            )
    return values


def _ids(values: list[Any], dtype: Any) -> np.ndarray:
    """Strings as Python objects, whichever type pandas keeps them in."""
    if not values:
        raise ValueError("ids must name at least one series")
    if not all(type(value) in (str, int) for value in values):
        raise ValueError("ids must be strings and integers")
    if len(set(values)) < len(values):
        raise ValueError("ids must name each series once")
    whole = all(isinstance(value, int) for value in values)
    signed = np.int64 if whole and max(values) < 2**63 else np.uint64
    with within("ids"):
        ids = np.array(values, dtype=signed if whole else object)
        if pd.Series(ids).astype(dtype).tolist() != values:
            raise ValueError(f"cannot be those of a column of the dtype {dtype}")
    return ids
