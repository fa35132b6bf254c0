"""The table of cells: what the rest of the library needs to know of each, and the compiled choice between them.

A cell is a few functions of values (`numerics.simd`), its gates, its states and its backward pass, and one record of
numbers. Its pre-activations `a` are equal blocks of n units. The input x feeds blocks from_x[0] up to (not including)
from_x[1], the old h feeds blocks from_h[0] up to from_h[1]; the unroll computes every product. x_rows and h_rows tell
which row block of `weight_ih` and `weight_hh` (users' layout: PyTorch's names and order) makes which of these blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bptt.cells import gru, lstm, rnn
from bptt.numerics.jit import outlined
from bptt.numerics.simd import lane_count, load, store

__all__ = ["CELLS", "Cell", "CellSpec", "backward", "forward", "whole_errors"]

RNN_TANH, RNN_RELU, GRU, LSTM, RNN_IDENTITY = 0, 1, 2, 3, 4


class CellSpec(NamedTuple):
    """The numbers of a cell that compiled code needs."""

    kind: int
    S: int  # states per unit
    A: int  # blocks of pre-activations
    x0: int
    x1: int
    h0: int
    h1: int
    x_order: np.ndarray  # int64 (A,): the row block of weight_ih that makes each block, or -1
    h_order: np.ndarray  # the same of weight_hh


class Cell(NamedTuple):
    """One row of the table."""

    name: str
    kind: int
    states: tuple[str, ...]  # h first
    blocks: tuple[str, ...]
    from_x: tuple[int, int]
    from_h: tuple[int, int]
    x_rows: tuple[int, ...]
    h_rows: tuple[int, ...]
    forget_block: int | None  # row block of the weights whose bias starts at 1 (Jozefowicz et al. 2015)

    @property
    def x_order(self) -> tuple[int, ...]:
        """For each block the row block of `weight_ih` that makes it, -1 where there is none."""
        return self._order(self.from_x, self.x_rows)

    @property
    def h_order(self) -> tuple[int, ...]:
        """For each block the row block of `weight_hh` that makes it, -1 where there is none."""
        return self._order(self.from_h, self.h_rows)

    def _order(self, fed: tuple[int, int], rows: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(rows[j - fed[0]] if fed[0] <= j < fed[1] else -1 for j in range(len(self.blocks)))

    @property
    def spec(self) -> CellSpec:
        orders = np.array(self.x_order), np.array(self.h_order)
        return CellSpec(self.kind, len(self.states), len(self.blocks), *self.from_x, *self.from_h, *orders)


CELLS = {
    cell.name: cell
    for cell in (
        Cell("rnn_tanh", RNN_TANH, ("h",), ("a",), (0, 1), (0, 1), (0,), (0,), None),
        Cell("rnn_relu", RNN_RELU, ("h",), ("a",), (0, 1), (0, 1), (0,), (0,), None),
        Cell("rnn_identity", RNN_IDENTITY, ("h",), ("a",), (0, 1), (0, 1), (0,), (0,), None),
        Cell("gru", GRU, ("h",), ("n_x", "r", "z", "n_h"), (0, 3), (1, 4), (2, 0, 1), (0, 1, 2), None),
        Cell("lstm", LSTM, ("h", "c"), ("i", "f", "g", "o"), (0, 4), (0, 4), (0, 1, 2, 3), (0, 1, 2, 3), 1),
    )
}


# How many blocks: the length of a tuple is known when it is compiled.
ONE, TWO, THREE, FOUR = (0,), (0, 0), (0, 0, 0), (0, 0, 0, 0)


@outlined(strict=True)
def forward(kind, n, first, last, a, s_prev, s):
    """One step of all rows, units first to last - 1: a (M, A*n) in pre-activations, out gates.

    s_prev, s (M, S*n): the states before and after. A row's gates first, then its states: a processor looks some two
    hundred instructions ahead, and finds there the next units only if the chain from one unit's `a` to its h is short.
    """
    for row in range(a.shape[0]):
        if kind == LSTM:
            for j in range(first, last, lane_count(a)):
                left = last - j
                store(a, row, lstm.gates(load(a, row, FOUR, n, j, left)), n, j, left)
            for j in range(first, last, lane_count(a)):
                left = last - j
                state = lstm.states(load(a, row, FOUR, n, j, left), load(s_prev, row, TWO, n, j, left))
                store(s, row, state, n, j, left)
        elif kind == GRU:
            for j in range(first, last, lane_count(a)):
                left = last - j
                store(a, row, gru.gates(load(a, row, TWO, n, n + j, left)), n, n + j, left)
            for j in range(first, last, lane_count(a)):
                left = last - j
                new, state = gru.states(load(a, row, FOUR, n, j, left), load(s_prev, row, ONE, n, j, left))
                store(a, row, new, n, j, left)
                store(s, row, state, n, j, left)
        elif kind == RNN_TANH:
            for j in range(first, last, lane_count(a)):
                left = last - j
                store(s, row, rnn.states_tanh(load(a, row, ONE, n, j, left)), n, j, left)
        elif kind == RNN_RELU:
            for j in range(first, last, lane_count(a)):
                left = last - j
                store(s, row, rnn.states_relu(load(a, row, ONE, n, j, left)), n, j, left)
        elif kind == RNN_IDENTITY:
            for j in range(first, last, lane_count(a)):
                left = last - j
                store(s, row, rnn.states_identity(load(a, row, ONE, n, j, left)), n, j, left)


@outlined(strict=True)
def backward(kind, n, first, last, ds, s_prev, s, a, da):
    """The way back: ds (M, S*n) in error of s, out the direct part of the error of s_prev; a gates, da their error."""
    for row in range(a.shape[0]):
        for j in range(first, last, lane_count(a)):
            left = last - j
            if kind == LSTM:
                ds_new, da_new = lstm.backward(
                    load(ds, row, TWO, n, j, left),
                    load(s_prev, row, TWO, n, j, left),
                    load(s, row, TWO, n, j, left),
                    load(a, row, FOUR, n, j, left),
                )
                store(ds, row, ds_new, n, j, left)
                store(da, row, da_new, n, j, left)
            elif kind == GRU:
                ds_new, da_new = gru.backward(
                    load(ds, row, ONE, n, j, left),
                    load(s_prev, row, ONE, n, j, left),
                    load(s, row, ONE, n, j, left),
                    load(a, row, FOUR, n, j, left),
                )
                store(ds, row, ds_new, n, j, left)
                store(da, row, da_new, n, j, left)
            elif kind == RNN_TANH:
                ds_new, da_new = rnn.backward_tanh(
                    load(ds, row, ONE, n, j, left),
                    load(s_prev, row, ONE, n, j, left),
                    load(s, row, ONE, n, j, left),
                    load(a, row, ONE, n, j, left),
                )
                store(ds, row, ds_new, n, j, left)
                store(da, row, da_new, n, j, left)
            elif kind == RNN_RELU:
                ds_new, da_new = rnn.backward_relu(
                    load(ds, row, ONE, n, j, left),
                    load(s_prev, row, ONE, n, j, left),
                    load(s, row, ONE, n, j, left),
                    load(a, row, ONE, n, j, left),
                )
                store(ds, row, ds_new, n, j, left)
                store(da, row, da_new, n, j, left)
            elif kind == RNN_IDENTITY:
                ds_new, da_new = rnn.backward_identity(
                    load(ds, row, ONE, n, j, left),
                    load(s_prev, row, ONE, n, j, left),
                    load(s, row, ONE, n, j, left),
                    load(a, row, ONE, n, j, left),
                )
                store(ds, row, ds_new, n, j, left)
                store(da, row, da_new, n, j, left)


@outlined(strict=True)
def whole_errors(kind, n, first, last, ds, s, a, out):
    """out (M, S*n): the whole derivatives of the loss by the states, from the errors `ds` that `backward` gets.

    They differ where a state feeds another one of the same step, as the LSTM's c feeds its h.
    """
    for row in range(a.shape[0]):
        for j in range(first, last, lane_count(a)):
            left = last - j
            if kind == LSTM:
                errors = lstm.whole_errors(
                    load(ds, row, TWO, n, j, left),
                    load(s, row, TWO, n, j, left),
                    load(a, row, FOUR, n, j, left),
                )
                store(out, row, errors, n, j, left)
            else:
                for state in range(0, ds.shape[1], n):
                    store(out, row, load(ds, row, ONE, n, state + j, left), n, state + j, left)
