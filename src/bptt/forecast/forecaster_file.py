"""The one file of a Forecaster: its models, the series they were trained on, and the calibration of its intervals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.forecast.encoding import Encoding
from bptt.forecast.intervals import Calibration
from bptt.forecast.models import MODELS
from bptt.forecast.panel import Panel
from bptt.forecast.scaling import SCALERS, Scaling
from bptt.forecast.trained import Trained
from bptt.training.saving import check_replaceable, read_tensors, write_tensors

__all__ = ["read", "write"]

FORMAT, VERSION = "bptt.Forecaster", 1

PANEL = ("starts", "ds", "y", "observed", "futr", "hist", "static")
NAMES = ("futr_names", "hist_names", "static_names")
# The unit of the times of a panel: nanoseconds since 1970, or the integers of the frame.
UNITS = {"ns": np.dtype("datetime64[ns]"), "integer": np.dtype(np.int64)}


def write(
    path: str | os.PathLike[str],
    trained: Trained,
    panel: Panel,
    encoding: Encoding,
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
        Naming the path, if it cannot be written.
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


def read(path: str | os.PathLike[str]) -> tuple[Trained, Panel, Encoding, str | None]:
    """Read a file of `write`.

    Raises
    ------
    FileNotFoundError, OSError
        If the file is missing or cannot be read.
    ValueError
        Naming the path and the reason: a truncated file, one of another program or of a newer version, parts that
        are missing or do not fit together.
    """
    tensors, metadata = read_tensors(path, FORMAT, VERSION)
    try:
        return _read(tensors, metadata)
    except KeyError as error:
        raise ValueError(f"{os.fspath(path)}: {error.args[0]!r} is missing") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _read(tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> tuple[Trained, Panel, Encoding, str | None]:
    encoding = Encoding.from_settings(metadata["encoding"])
    panel = _panel(tensors, metadata)
    local_scaler_type = metadata["local_scaler_type"]
    scale = None
    if local_scaler_type is not None:
        if local_scaler_type not in SCALERS:
            raise ValueError(f"local_scaler_type {local_scaler_type!r} is unknown")
        scale = Scaling(tensors["scaling.center"], tensors["scaling.spread"])
        _check_shapes({"scaling.center": scale.center, "scaling.spread": scale.spread}, (len(panel),))
    models, aliases, calibrations = [], [], []
    for at, record in enumerate(metadata["models"]):
        name = record["class"]
        if name not in MODELS:
            raise ValueError(f"a model of the class {name!r}, known are {', '.join(sorted(MODELS))}")
        model = MODELS[name].from_settings(record["settings"], _part(tensors, f"models.{at}."))
        models.append(model)
        aliases.append(str(record["alias"]))
        calibrations.append(_calibration(_part(tensors, f"calibrations.{at}."), model.h))
    if not models:
        raise ValueError("holds no models")
    trained = Trained(tuple(models), tuple(aliases), encoding.freq, scale, tuple(calibrations))
    return trained, panel, encoding, local_scaler_type


def _panel(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Panel:
    arrays: dict[str, Any] = {name: tensors[f"panel.{name}"] for name in PANEL}
    ids, unit = metadata["ids"], metadata["unit"]
    if unit not in UNITS:
        raise ValueError(f"times in the unit {unit!r}, known are {', '.join(UNITS)}")
    kinds = {"starts": "int64", "ds": "int64", "y": "float64", "observed": "bool"}
    for name, array in arrays.items():
        if array.dtype != kinds.get(name, "float32"):
            raise ValueError(f"tensor 'panel.{name}' must be {kinds.get(name, 'float32')}; got {array.dtype}")
    starts = arrays["starts"]
    if starts.shape != (len(ids) + 1,) or starts[0] != 0 or (np.diff(starts) < 1).any():
        raise ValueError(f"tensor 'panel.starts' does not tell the first rows of {len(ids)} series")
    rows = int(starts[-1])
    names: dict[str, Any] = {name: tuple(metadata[name]) for name in NAMES}
    _check_shapes({f"panel.{name}": arrays[name] for name in ("ds", "y", "observed")}, (rows,))
    for part, count in (("futr", rows), ("hist", rows), ("static", len(ids))):
        _check_shapes({f"panel.{part}": arrays[part]}, (count, len(names[f"{part}_names"])))
    arrays["ds"] = arrays["ds"].view(UNITS[unit])
    return Panel(ids=_ids(ids), **arrays, **names)


def _calibration(tensors: Mapping[str, np.ndarray], h: int) -> Calibration | None:
    if not tensors:
        return None
    quantiles, errors = tensors["quantiles"], tensors["errors"]
    if errors.ndim != 3 or errors.shape[1:] != (h, quantiles.size):
        raise ValueError(f"a calibration of shape {errors.shape} does not fit h={h} and {quantiles.size} quantiles")
    return Calibration(tuple(quantiles.tolist()), errors)


def _part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _check_shapes(tensors: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> None:
    for name, array in tensors.items():
        if array.shape != shape:
            raise ValueError(f"tensor {name!r} must have shape {shape}; got {array.shape}")


def _plain_ids(ids: np.ndarray) -> list[Any]:
    values: list[Any] = ids.tolist() if ids.dtype.kind in "iuO" else list(ids)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(
                f"ids of the type {type(value).__name__} cannot be written to a file; accepted: strings and integers; "
                f"got {value!r}"
            )
    return values


def _ids(values: list[Any]) -> np.ndarray:
    """Strings as objects, as pandas hands them over; a list of both as well."""
    return np.array(values, dtype=np.int64 if all(isinstance(value, int) for value in values) else object)
