"""Naive versions of everything that learns, slow and obvious: what the compiled loops are tested against."""

from functools import partial
from types import SimpleNamespace

from . import gru, lstm, rnn

# One row for each row of `bptt.cells.table.CELLS`: the oracle, its states and its gates (row blocks).
REFERENCES = {
    "rnn_tanh": SimpleNamespace(forward=rnn.forward, backward=rnn.backward, states=1, gates=1),
    "rnn_relu": SimpleNamespace(
        forward=partial(rnn.forward, nonlinearity="relu"),
        backward=partial(rnn.backward, nonlinearity="relu"),
        states=1,
        gates=1,
    ),
    "rnn_identity": SimpleNamespace(
        forward=partial(rnn.forward, nonlinearity="identity"),
        backward=partial(rnn.backward, nonlinearity="identity"),
        states=1,
        gates=1,
    ),
    "gru": SimpleNamespace(forward=gru.forward, backward=gru.backward, states=1, gates=3),
    "lstm": SimpleNamespace(forward=lstm.forward, backward=lstm.backward, states=2, gates=4),
}
