"""A layer forward and backward on both sides, from the same numbers; and the sizes that the benchmarks measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import bptt

BLOCKS = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Row(NamedTuple):
    """The size of a problem."""

    B: int
    T: int
    I: int
    H: int
    layers: int = 1
    dtype: str = "float32"

    def __str__(self) -> str:
        more = [f"{self.layers} layers"] * (self.layers > 1) + [self.dtype] * (self.dtype != "float32")
        return ", ".join([*map(str, self[:4]), *more])

    def flops(self, cell: str) -> int:
        """Operations of one pass's products. Backward has two such passes: error of the input, gradient of weights."""
        inputs = self.I + self.H * (self.layers - 1)
        return 2 * self.T * self.B * (inputs + self.layers * self.H) * BLOCKS[cell] * self.H


# Streaming, character models, wide layers, forecasting; a language model of words (as wide as Zaremba's, 2014).
GRID = (
    Row(1, 25, 64, 100),
    Row(1, 100, 64, 128),
    Row(1, 1000, 16, 64),
    Row(16, 50, 64, 64),
    Row(32, 50, 64, 128),
    Row(32, 50, 128, 256),
    Row(64, 50, 256, 512),
    Row(64, 50, 512, 1024),
    Row(128, 100, 1, 32),
    Row(256, 48, 8, 64),
    Row(8, 200, 32, 96),
    Row(512, 24, 4, 16),
    Row(32, 35, 650, 650),
)


class Side(NamedTuple):
    """What one side runs; either function returns its results by name."""

    step: Callable[[], dict[str, Any]]  # forward and full backward: y, dx, gradients of the parameters
    forward: Callable[[], dict[str, Any]]  # y alone, nothing remembered


def inputs(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """x and dy: the same for either side."""
    rng = np.random.default_rng(0)
    dtype: Any = np.dtype(row.dtype)
    return rng.standard_normal((row.T, row.B, row.I), dtype), rng.standard_normal((row.T, row.B, row.H), dtype)


def layer_of(cell: str, row: Row) -> Any:
    """Our layer, with the weights that either side gets."""
    return getattr(bptt, cell)(row.I, row.H, row.layers, dtype=row.dtype, seed=0)


def ours(cell: str, row: Row) -> Side:
    """The layer of this library."""
    x, dy = inputs(row)
    layer = layer_of(cell, row)

    def step() -> dict[str, Any]:
        y, _, tape = layer.forward(x)
        g = layer.backward(dy, tape)
        return {"y": y, "dx": g.x, **g.parameters}

    return Side(step, lambda: {"y": layer(x)[0]})


def theirs(torch: Any, cell: str, row: Row) -> Side:
    """PyTorch's layer."""
    x, dy = map(torch.from_numpy, inputs(row))
    peer = getattr(torch.nn, cell)(row.I, row.H, row.layers, dtype=getattr(torch, row.dtype))
    peer.load_state_dict({name: torch.from_numpy(p) for name, p in layer_of(cell, row).state_dict().items()})
    x_leaf = x.clone().requires_grad_()

    def step() -> dict[str, Any]:
        peer.zero_grad(set_to_none=True)
        x_leaf.grad = None
        y, _ = peer(x_leaf)
        y.backward(dy)
        return {"y": y.detach(), "dx": x_leaf.grad, **{name: p.grad for name, p in peer.named_parameters()}}

    def forward() -> dict[str, Any]:
        with torch.inference_mode():
            return {"y": peer(x)[0]}

    return Side(step, forward)
