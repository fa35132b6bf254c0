"""The arrays of a training step, each allocated once, and the network's numbers as compiled code takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bptt.cells.table import CellSpec
from bptt.network.sequence_model import SequenceModel
from bptt.numerics import memory
from bptt.numerics.matmul import packed_rows, panel_shape, unit_stride
from bptt.unroll.sequence import FORMULAS, HEARING, chunk_steps

__all__ = ["Network", "Workspace", "network_of", "threads_for", "windows_unheard", "workspace_for"]

SMALL = 10_000_000  # multiply-adds


class Network(NamedTuple):
    """A `SequenceModel` for compiled code; offsets point into flat vectors of theta's layout."""

    cell: CellSpec
    V: int
    E: int
    H: int
    L: int
    theta: np.ndarray
    embedding: int
    layers: np.ndarray  # int64 (L, 4): weight_ih, weight_hh, bias_ih, bias_hh
    head: np.ndarray  # int64 (2,): weight, bias
    x_order: np.ndarray
    h_order: np.ndarray
    one_block: np.ndarray  # int64 (1,): the head's rows are in order
    no_order: np.ndarray  # int64 (A,): -1, nothing is multiplied
    seed: int
    dropout: float
    input_dropout: float


class Workspace(NamedTuple):
    """Tape, packed weights and errors for B streams and at most K steps.

    Slots 0 .. old-1 of `s`, `a`, `x`, `y` and `tokens` hold the older part of the tape, which only windows with
    k2 > k1 have. `table` (and `dtable`) is empty where the embedding is not projected once a window, `y` where there
    is no dropout.
    """

    tokens: np.ndarray  # int32 (K, B)
    x: np.ndarray  # (K, B, E) embeddings, dropped out
    s: np.ndarray  # (L, K+1, B, S*H)
    a: np.ndarray  # (L, K, B, A*H)
    y: np.ndarray  # (L, K, B, H) outputs, dropped out
    z: np.ndarray  # (K*B, V) logits, then their error
    losses: np.ndarray  # (K*B,)
    da: np.ndarray  # (2, chunk, B, A*H)
    scratch: np.ndarray  # of the weight gradients
    total: np.ndarray  # (A*H,) sums of da
    ds: np.ndarray  # (B, S*H)
    dy: np.ndarray  # (K, B, H)
    dx: np.ndarray  # (K, B, E)
    no_array: np.ndarray  # (0, 0, 0)
    no_rows: np.ndarray  # (0, 0)
    active: np.ndarray  # int64 (K,): all rows have every step
    no_reset: np.ndarray  # bool (0, 0)
    in_order: np.ndarray  # int64 (0,): rows lie in the order of the batch
    nothing: np.ndarray  # (1, max(E, H)) zeros
    table: np.ndarray  # (V, x-columns) the projected embedding
    dtable: np.ndarray
    W0: np.ndarray
    W: np.ndarray
    U: np.ndarray
    b: np.ndarray
    WT0: np.ndarray
    WT: np.ndarray
    UT: np.ndarray
    head: np.ndarray
    headT: np.ndarray


def network_of(model: SequenceModel, theta: np.ndarray | None = None, *, dropout: bool = True) -> Network:
    """The network of `model` on its own weights or on `theta`; without dropout for evaluation and sampling."""
    starts, start = {}, 0
    for name, shape in model.shapes.items():
        starts[name] = start
        start += int(np.prod(shape))
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    layers = [[starts[f"rnn.{kind}_l{layer}"] for kind in kinds] for layer in range(model.num_layers)]
    return Network(
        cell=model.cell.spec,
        V=model.vocabulary_size,
        E=model.embedding_size,
        H=model.hidden_size,
        L=model.num_layers,
        theta=model.flat if theta is None else theta,
        embedding=starts["embedding.weight"],
        layers=np.array(layers),
        head=np.array([starts["head.weight"], starts["head.bias"]]),
        x_order=np.array(model.cell.x_order),
        h_order=np.array(model.cell.h_order),
        one_block=np.zeros(1, np.int64),
        no_order=np.full(model.cell.spec.A, -1),
        seed=model.seed,
        dropout=model.dropout if dropout else 0.0,
        input_dropout=model.input_dropout if dropout else 0.0,
    )


def threads_for(network: Network, rows: int) -> int | None:
    """One thread for a window of so few rows (steps times streams) that a second is in its way; else all there are."""
    cell, H = network.cell, network.H
    return 1 if rows * H * cell.A * (network.E + network.L * H) < SMALL else None


def windows_unheard(network: Network, rows: int, passes: int) -> int:
    """How many windows of so many rows go into a compiled call: Ctrl-C is heard between two of them."""
    H, width = network.H, network.H * network.cell.A
    one = width * (network.E + network.L * H + FORMULAS) + H * network.V
    return max(1, HEARING // (passes * rows * one))


def workspace_for(network: Network, B: int, K: int, *, older: int = 0, training: bool = True) -> Workspace:
    """Arrays for B streams, windows of K steps of which `older` may be left from windows before."""
    cell, V, E, H, L = network.cell, network.V, network.E, network.H, network.L
    dtype = network.theta.dtype
    x_columns, h_columns, width = (cell.x1 - cell.x0) * H, (cell.h1 - cell.h0) * H, cell.A * H
    # Rows of the embedding times W, once for each symbol instead of once for each step: less work where the
    # vocabulary is smaller than the window. Not with a mask on the embedding, nor with old steps, whose
    # embedding has changed since.
    project_table = network.input_dropout == 0 and older == 0 and (K * B >= V or not training)
    # As many rows as the recurrent weights or the head, whichever has more.
    scratch = max(packed_rows(H, cell.A, dtype), packed_rows(V, 1, dtype))
    back, looked_up = int(training), int(not project_table)

    def empty(*shape: int) -> np.ndarray:
        return memory.empty(shape, dtype)

    def panels(depth: int, columns: int, *layers: int) -> np.ndarray:
        return memory.zeros((*layers, *panel_shape(depth, columns, dtype)), dtype)

    return Workspace(
        tokens=np.zeros((K, B), np.int32),
        x=empty(K * looked_up, B, E),
        s=memory.zeros((L, K + 1, B, cell.S * H), dtype),
        a=empty(L, K, B, width),
        y=empty(L, K if network.dropout > 0 else 0, B, H),
        z=empty(K * B, V),
        losses=empty(K * B),
        da=empty(2, back * chunk_steps(K, B), B, width),
        scratch=empty(*(back * size for size in scratch)),
        total=empty(width),
        ds=empty(B, cell.S * H),
        dy=empty(K * back, B, H),
        dx=empty(K * back * looked_up, B, E),
        no_array=empty(0, 0, 0),
        no_rows=empty(0, 0),
        active=np.full(K, B),
        no_reset=np.empty((0, 0), np.bool_),
        in_order=np.empty(0, np.int64),
        nothing=np.zeros((1, max(E, H)), dtype),
        table=empty(V * (1 - looked_up), x_columns),
        dtable=empty(V * (1 - looked_up) * back, x_columns),
        W0=panels(E, x_columns),
        W=panels(H, x_columns, L - 1),
        U=panels(H, (cell.h1 - cell.h0) * unit_stride(H, dtype), L),
        b=empty(L, width),
        WT0=panels(x_columns, E * back),
        WT=panels(x_columns, H * back, L - 1),
        UT=panels(h_columns, H * back, L),
        head=panels(H, V),
        headT=panels(V, H * back),
    )
