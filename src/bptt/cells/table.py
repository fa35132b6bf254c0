"""The table of cells: what the rest of the library needs to know of each, and the compiled choice between them.

A cell is two functions of one row, `forward` and `backward`, and one record of numbers. Its pre-activations `a` are
equal blocks of n units. The input x feeds blocks from_x[0] up to (not including) from_x[1], the old h feeds blocks
from_h[0] up to from_h[1]; every product is the unroll's. x_rows and h_rows say which row block of `weight_ih` and
`weight_hh` (users' layout: PyTorch's names and order) makes which of these blocks.
"""

from __future__ import annotations

from typing import NamedTuple

from bptt.cells import gru, lstm, rnn
from bptt.numerics.jit import kernel

__all__ = ["CELLS", "Cell", "Wiring", "backward", "forward"]

RNN_TANH, RNN_RELU, GRU, LSTM = 0, 1, 2, 3


class Wiring(NamedTuple):
    """The numbers of a cell that compiled code needs."""

    kind: int
    S: int  # states per unit
    A: int  # blocks of pre-activations
    x0: int
    x1: int
    h0: int
    h1: int


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
    def wiring(self) -> Wiring:
        return Wiring(self.kind, len(self.states), len(self.blocks), *self.from_x, *self.from_h)


CELLS = {
    cell.name: cell
    for cell in (
        Cell("rnn_tanh", RNN_TANH, ("h",), ("a",), (0, 1), (0, 1), (0,), (0,), None),
        Cell("rnn_relu", RNN_RELU, ("h",), ("a",), (0, 1), (0, 1), (0,), (0,), None),
        Cell("gru", GRU, ("h",), ("n_x", "r", "z", "n_h"), (0, 3), (1, 4), (2, 0, 1), (0, 1, 2), None),
        Cell("lstm", LSTM, ("h", "c"), ("i", "f", "g", "o"), (0, 4), (0, 4), (0, 1, 2, 3), (0, 1, 2, 3), 1),
    )
}


@kernel
def forward(kind, a, s_prev, s):
    """One row, one step: a (A*n) in pre-activations, out gates; s_prev, s (S*n) the states before and after."""
    if kind == LSTM:
        lstm.forward(a, s_prev, s)
    elif kind == GRU:
        gru.forward(a, s_prev, s)
    elif kind == RNN_TANH:
        rnn.forward_tanh(a, s_prev, s)
    elif kind == RNN_RELU:
        rnn.forward_relu(a, s_prev, s)


@kernel
def backward(kind, ds, s_prev, s, a):
    """The same row back: ds (S*n) in error of s, out the direct part of the error of s_prev; a in gates, out da."""
    if kind == LSTM:
        lstm.backward(ds, s_prev, s, a)
    elif kind == GRU:
        gru.backward(ds, s_prev, s, a)
    elif kind == RNN_TANH:
        rnn.backward_tanh(ds, s_prev, s, a)
    elif kind == RNN_RELU:
        rnn.backward_relu(ds, s_prev, s, a)
