"""Recurrent networks with hand-derived backward passes, and back-propagation through time in compiled loops."""

from bptt.network.criteria import huber_loss, l1_loss, mse_loss, pinball_loss
from bptt.network.dense import Embedding, Linear, cross_entropy
from bptt.network.layers import Gradients
from bptt.network.recurrent import GRU, LSTM, RNN
from bptt.numerics.threads import get_num_threads, set_num_threads
from bptt.training.trainer import NonFiniteError
from bptt.unroll.tape import Tape
from bptt.unroll.windows import TBPTT

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "TBPTT",
    "Embedding",
    "Gradients",
    "Linear",
    "NonFiniteError",
    "Tape",
    "cross_entropy",
    "get_num_threads",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "pinball_loss",
    "set_num_threads",
]
