"""The pretrained network: one set of weights for all seasons and horizons, and the file that holds it.

It is a recursive network. Its weights do not depend on a season; what depends on it is where it looks:

    x_t      z_t, observed or not, then z one, two and three seasons before the step to come, z one long season before
             it, and what is told of the season: whether there is one, its logarithm, whether there is a second one
    anchors  last value; value, mean and change of the season; drift; mean; value of the long season

Without a season its length counts as 1. The window covers six seasons, as far as 120 steps allow, at least two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bptt import arguments
from bptt.cells.table import CELLS
from bptt.files.saving import read_model
from bptt.files.schema import check_tensors, record
from bptt.forecast.fitting.defaults import QUANTILES, ordered
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.batches import AVERAGE, CHANGE, DRIFT, LAST, MEAN, SEASONAL, SPREAD
from bptt.network.loss_kernels import MAE

__all__ = ["FACTS", "FORMAT", "PATH", "VERSION", "Size", "about", "plan_for", "shipped", "size_from", "widened"]

FORMAT, VERSION = "bptt.Pretrained", 1
PATH = Path(__file__).parents[1] / "pretrained.safetensors"
SHORTEST_WINDOW, LONGEST_WINDOW = 48, 120
FACTS = 3
INPUT = "rnn.weight_ih_l0"
# Units and layers of a network that a file may name.
LARGEST = 1 << 12


@dataclass(frozen=True)
class Size:
    """What the shapes of the weights follow from."""

    cell: str = "gru"
    hidden_size: int = 128
    num_layers: int = 2


def about(seasons: tuple[int, ...]) -> np.ndarray:
    """What the network is told of the seasons, float32 (FACTS,)."""
    short = seasons[0] if seasons else 1
    return np.array([bool(seasons), math.log(short) / 3, len(seasons) > 1], np.float32)


def plan_for(
    size: Size, seasons: tuple[int, ...], n: int, *, seed: int = 0, futr: int = 0, static: int = 0
) -> Architecture:
    """The network for these seasons (the shortest first) and n steps, with columns of the user's beside its own."""
    short = seasons[0] if seasons else 1
    long = seasons[-1] if seasons else 1
    kinds = (LAST, SEASONAL, AVERAGE, CHANGE, DRIFT, MEAN, SEASONAL)
    return Architecture(
        strategy="recursive",
        cell=size.cell,
        n=n,
        input_size=max(SHORTEST_WINDOW, min(6 * short, LONGEST_WINDOW), 2 * short),
        segment=1,
        hidden_size=size.hidden_size,
        num_layers=size.num_layers,
        kinds=kinds,
        periods=(0, short, short, short, 0, 0, long),
        lags=(short, 2 * short, 3 * short, long),
        futr=futr,
        hist=0,
        static=FACTS + static,
        taus=ordered(QUANTILES),
        loss=MAE,
        parameter=1.0,
        scaler=SPREAD,
        dropout=0.0,
        told=0.0,
        seed=seed,
        dtype="float32",
        quantile_share=1.0,
    )


@cache
def shipped() -> tuple[Size, dict[str, np.ndarray]]:
    """Size and weights of the network that is part of this library."""
    return read_model(PATH, FORMAT, VERSION, _build)


def _build(tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> tuple[Size, dict[str, np.ndarray]]:
    record(metadata, ("format", "version", "size", "recipe"))
    size = size_from(metadata["size"])
    check_tensors(tensors, plan_for(size, (), 1).shapes, np.float32)
    return size, tensors


def size_from(settings: Any) -> Size:
    """The size that a file names."""
    size = Size(**record(settings, ("cell", "hidden_size", "num_layers")))
    if size.cell not in CELLS:
        raise ValueError(f"cell must be one of {', '.join(CELLS)}; got {size.cell!r}")
    for name in ("hidden_size", "num_layers"):
        if not 1 <= arguments.integer(name, getattr(size, name)) <= LARGEST:
            raise ValueError(f"{name} must be at most {LARGEST}; got {getattr(size, name)}")
    return size


def widened(tensors: dict[str, np.ndarray], size: Size, plan: Architecture) -> np.ndarray:
    """The weights as a flat vector for a plan with the user's columns, which begin with weights of 0."""
    own = plan_for(size, (), 1)
    inputs = tensors[INPUT]
    columns = np.zeros(plan.shapes[INPUT], inputs.dtype)
    before = own.x_columns - FACTS  # future-known columns follow the lags, static ones the facts
    columns[:, :before] = inputs[:, :before]
    columns[:, before + plan.futr : before + plan.futr + FACTS] = inputs[:, before:]
    return np.concatenate([(columns if name == INPUT else tensors[name]).ravel() for name in plan.shapes])
