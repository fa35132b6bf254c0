"""Restore a fitted model from a file, checked against the numbers that follow from its arguments.

Nothing is allocated from a number of the file before the tensors in it are known to have the shapes that follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bptt import arguments
from bptt.files.schema import check_equal, check_layers, check_tensors, listing, record
from bptt.forecast.fitting.few import Blend
from bptt.forecast.fitting.naive import candidates
from bptt.forecast.fitting.training import TrainingResult
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.head import SHARE

__all__ = ["blend_of", "networks_of", "plan_of", "scales_of", "steps_of"]

# Steps of training are counted in compiled code; no training takes so many.
MOST_STEPS = 2**40
ROUNDING = 1e-9


def plan_of(settings: Any, settled: Architecture, seasons: tuple[int, ...] | None) -> Architecture:
    """The network's numbers of a file: those of `settled`, except for naive forecasts that the data chose.

    Parameters
    ----------
    settings : dict, or anything else
    settled : Architecture
        As it follows from the model's arguments, the frequency and the columns.
    seasons : tuple of int, or None
        Where the model was to choose its naive forecasts: the periods among which it did.
    """
    names = Architecture.__match_args__
    if isinstance(settings, dict):  # files of before it could be chosen do not name it
        before = {"quantile_share": SHARE, "marks_forecasts": settled.marks_forecasts, "horizon_weight": []}
        settings = before | settings
    record(settings, names)
    # Networks of older files were not told which values are their own forecasts.
    marked = arguments.boolean("marks_forecasts", settings["marks_forecasts"])
    settled = replace(settled, marks_forecasts=marked)
    if seasons is not None:
        kinds, periods = (listing(name, settings[name]) for name in ("kinds", "periods"))
        chosen = list(zip(kinds, periods, strict=False))
        known = candidates(seasons)
        right = len(kinds) == len(periods) and all(type(part) is int for part in kinds + periods)
        if not right or not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
            raise ValueError(
                f"kinds and periods must be some of the pairs {known}, each once; got kinds {kinds!r} and periods "
                f"{periods!r}"
            )
        settled = replace(settled, kinds=tuple(kinds), periods=tuple(periods))
    expected: dict[str, Any] = {name: getattr(settled, name) for name in names}
    check_equal(settings, expected, "which follows from the arguments, the frequency and the columns")
    return settled


def steps_of(settings: Any, members: int) -> list[int]:
    """The training steps of each network of an ensemble."""
    steps = listing("steps", settings)
    if len(steps) != members:
        raise ValueError(f"must be of {members} networks; got {len(steps)}")
    for number in steps:
        if arguments.integer("each of them", number, 0) >= MOST_STEPS:
            raise ValueError(f"each of them must be below {MOST_STEPS}; got {number}")
    return steps


def scales_of(tensors: Mapping[str, np.ndarray], widths: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Mean and spread of the exogenous columns, of which there are `widths` of each kind."""
    found = {name.removeprefix("scale."): array for name, array in tensors.items() if name.startswith("scale.")}
    shapes = {
        f"{kind}.{part}": (width,)
        for kind, width in zip(("futr", "hist", "static"), widths, strict=True)
        for part in ("mean", "spread")
    }
    check_tensors(found, shapes, np.float32, prefix="scale.")
    for name, array in found.items():
        if name.endswith("spread") and (array <= 0).any():
            raise ValueError(f"tensor 'scale.{name}' must be positive; got {array.min()}")
    return found


def blend_of(tensors: Mapping[str, np.ndarray], plan: Architecture, tried: tuple[tuple[int, int], ...]) -> Blend | None:
    """How the network is blended with the naive forecasts `tried`, if windows were few."""
    if "offsets" not in tensors:
        return None
    offsets = tensors["offsets"]
    check_tensors({"offsets": offsets}, {"offsets": (plan.n, len(plan.taus))}, np.float64)
    taus = np.array(plan.taus)
    if (offsets[:, taus > 0.5] < 0).any() or (offsets[:, taus < 0.5] > 0).any():
        raise ValueError("tensor 'offsets' must be at least 0 above the median and at most 0 below it")
    size = len(tried) + 1
    # Files of before there were weights: the network's anchors are the naive forecast that was taken, if one was.
    weights = tensors.get("weights", np.eye(size)[-1])
    check_tensors({"weights": weights}, {"weights": (size,)}, np.float64)
    if (weights < 0).any() or abs(weights.sum() - 1) > ROUNDING:
        raise ValueError(f"tensor 'weights' must be at least 0 and of sum 1; got {weights.tolist()}")
    return Blend(tried, weights, offsets)


def networks_of(tensors: Mapping[str, np.ndarray], plan: Architecture, steps: list[int]) -> list[TrainingResult]:
    """The networks of an ensemble, with the state of their optimizer."""
    others = ("scale.", "offsets", "weights")
    found = {name: array for name, array in tensors.items() if not name.startswith(others)}
    check_layers((name for name in found if name.startswith("0.")), plan.num_layers, "0.rnn.")
    size = sum(math.prod(shape) for shape in plan.shapes.values())
    own = plan.shapes | {"adam.m": (size,), "adam.v": (size,)}
    check_tensors(found, {f"{k}.{name}": own[name] for k in range(len(steps)) for name in own}, plan.dtype)
    networks = []
    for k, number in enumerate(steps):
        theta = np.concatenate([found[f"{k}.{name}"].ravel() for name in plan.shapes])
        m, v = (np.array(found[f"{k}.adam.{name}"]) for name in ("m", "v"))
        if (v < 0).any():
            raise ValueError(f"tensor '{k}.adam.v' must not be negative; got {v.min()}")
        networks.append(TrainingResult(theta, m, v, number, np.empty(0), []))
    return networks
