"""The arrays of a training step, each allocated once, and the network's numbers as compiled code takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bptt.network.parameters import starts
from bptt.network.stack import (
    Packed,
    Scratch,
    Stack,
    Tape,
    Transposed,
    operations,
    packed_for,
    scratch_for,
    stack_of,
    transposed_for,
)
from bptt.numerics import memory
from bptt.numerics.matmul import panel_shape
from bptt.text.network.model import SequenceModel
from bptt.unroll.layer import OPERATIONS

__all__ = ["TextNetwork", "TextWorkspace", "network_of", "windows_between_checks", "workspace_for"]


class TextNetwork(NamedTuple):
    """A `SequenceModel` for compiled code; offsets point into flat vectors of theta's layout."""

    stack: Stack
    V: int
    theta: np.ndarray
    embedding: int
    head: np.ndarray  # int64 (2,): weight, bias
    seed: int
    dropout: float
    input_dropout: float


class TextWorkspace(NamedTuple):
    """Tape, packed weights and errors for B streams and at most K steps.

    Slots 0 .. old-1 of the tape and of `tokens` hold the older part, which only windows with k2 > k1 have. `table`
    (and `dtable`) is empty where the embedding is not projected once a window.
    """

    tokens: np.ndarray  # int32 (K, B)
    tape: Tape
    z: np.ndarray  # (K*B, V) logits, then their error
    losses: np.ndarray  # (K*B,)
    ds: np.ndarray  # (L, B, S*H)
    dy: np.ndarray  # (K, B, H)
    dx: np.ndarray  # (K*B, E)
    table: np.ndarray  # (V, x-columns) the projected embedding
    dtable: np.ndarray
    packed: Packed
    transposed: Transposed
    head: np.ndarray  # packed
    headT: np.ndarray
    scratch: Scratch


def network_of(model: SequenceModel, theta: np.ndarray | None = None, *, dropout: bool = True) -> TextNetwork:
    """The network of `model` on its own weights or on `theta`; without dropout for evaluation and sampling."""
    at = starts(model.shapes)
    return TextNetwork(
        stack=stack_of(model.cell, model.embedding_size, model.hidden_size, model.num_layers, at, "rnn."),
        V=model.vocabulary_size,
        theta=model.flat if theta is None else theta,
        embedding=at["embedding.weight"],
        head=np.array([at["head.weight"], at["head.bias"]]),
        seed=model.seed,
        dropout=model.dropout if dropout else 0.0,
        input_dropout=model.input_dropout if dropout else 0.0,
    )


def windows_between_checks(network: TextNetwork, rows: int, passes: int) -> int:
    """How many windows, of `rows` rows each, one compiled call processes. Ctrl-C is handled between two calls."""
    stack = network.stack
    head = rows * stack.H * network.V
    return max(1, OPERATIONS // (passes * (operations(stack, rows) + head)))


def workspace_for(network: TextNetwork, B: int, K: int, *, older: int = 0, training: bool = True) -> TextWorkspace:
    """Arrays for B streams, windows of K steps of which `older` may be left from windows before."""
    stack, V, dtype = network.stack, network.V, network.theta.dtype
    cell, E, H, L = stack.cell, stack.I, stack.H, stack.L
    x_columns = (cell.x1 - cell.x0) * H
    # Rows of the embedding times W, once for each symbol instead of once for each step: less work where the
    # vocabulary is smaller than the window. Not with a mask on the embedding, nor with old steps, whose
    # embedding has changed since.
    project_table = network.input_dropout == 0 and older == 0 and (K * B >= V or not training)
    back, looked_up = int(training), int(not project_table)

    def empty(*shape: int) -> np.ndarray:
        return memory.empty(shape, dtype)

    tokens = np.zeros((K, B), np.int32)
    return TextWorkspace(
        tokens=tokens,
        tape=Tape(
            x=empty(K * B * looked_up, E),
            tokens=tokens if project_table else np.empty((0, 0), np.int32),
            s=memory.zeros((L, K + 1, B, cell.S * H), dtype),
            a=empty(L, K, B, cell.A * H),
            y=empty(L if network.dropout > 0 else 0, K, B, H),
            out=empty(0, 0, 0),
        ),
        z=empty(K * B, V),
        losses=empty(K * B),
        ds=empty(L, B, cell.S * H),
        dy=empty(K * back, B, H),
        dx=empty(K * B * back * looked_up, E),
        table=empty(V * (1 - looked_up), x_columns),
        dtable=empty(V * (1 - looked_up) * back, x_columns),
        packed=packed_for(stack, dtype),
        transposed=transposed_for(stack if training else stack._replace(I=0, H=0, L=1), dtype),
        head=memory.zeros(panel_shape(H, V, dtype), dtype),
        headT=memory.zeros(panel_shape(V, H * back, dtype), dtype),
        scratch=scratch_for(stack, K, B if training else 0, dtype, dense=(V,) if training else ()),
    )
