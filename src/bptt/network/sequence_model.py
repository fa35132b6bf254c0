"""Embedding, stacked recurrent layers, linear head: the network of a language model over discrete symbols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt import arguments
from bptt.cells.table import CELLS
from bptt.network import parameters as named
from bptt.network.initialisers import INITIALISERS, glorot_uniform, initialise

__all__ = ["SequenceModel"]


class SequenceModel:
    """Parameters and settings of embedding -> RNN, GRU or LSTM -> linear head, in one flat vector.

        x_t = E[token_t],    h_t = layers(x_t, h_{t-1}),    logits_t = h_t W_head + b_head

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    vocabulary_size, embedding_size, hidden_size, num_layers : int
        At least 1.
    nonlinearity : {"tanh", "relu"}
        Of `cell="rnn"`.
    dropout : float
        In [0, 1): on the output of every recurrent layer, while training.
    input_dropout : float
        In [0, 1): on the embedding, one mask for all steps of a window (Gal & Ghahramani 2016), while training.
    dtype : {"float32", "float64"}
    init : {"pytorch", "orthogonal"}
        Of the recurrent layers; the head is Glorot-uniform with bias 0, the embedding N(0, 1) as in PyTorch.
    seed : int

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or outside its range.

    Examples
    --------
    >>> model = SequenceModel(vocabulary_size=65, embedding_size=64, hidden_size=256)
    >>> model.flat.size
    350593
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        cell: str = "lstm",
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        dtype: Any = "float32",
        init: str = "orthogonal",
        seed: int = 0,
    ) -> None:
        self.vocabulary_size = arguments.integer("vocabulary_size", vocabulary_size)
        self.embedding_size = arguments.integer("embedding_size", embedding_size)
        self.hidden_size = arguments.integer("hidden_size", hidden_size)
        self.num_layers = arguments.integer("num_layers", num_layers)
        self.dropout = arguments.fraction("dropout", dropout)
        self.input_dropout = arguments.fraction("input_dropout", input_dropout)
        self.dtype = arguments.dtype("dtype", dtype)
        self.seed = arguments.seed("seed", seed)
        self.nonlinearity = arguments.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        self.cell_name = arguments.choice("cell", cell, ("rnn", "gru", "lstm"))
        self.cell = CELLS[f"rnn_{self.nonlinearity}" if cell == "rnn" else cell]
        self.init = arguments.choice("init", init, tuple(INITIALISERS))
        self.shapes: named.Shapes = {"embedding.weight": (self.vocabulary_size, self.embedding_size)}
        self.shapes |= named.layer_shapes(self.cell, self.embedding_size, self.hidden_size, self.num_layers, "rnn.")
        self.shapes |= {
            "head.weight": (self.vocabulary_size, self.hidden_size),
            "head.bias": (self.vocabulary_size,),
        }
        self.flat, self.parameters = named.allocate(self.shapes, self.dtype)
        rng = np.random.default_rng(self.seed)
        self.parameters["embedding.weight"][...] = rng.standard_normal(self.shapes["embedding.weight"])
        recurrent = {name: view for name, view in self.parameters.items() if name.startswith("rnn.")}
        initialise(self.cell, recurrent, self.hidden_size, self.init, rng)
        self.parameters["head.weight"][...] = glorot_uniform(rng, self.shapes["head.weight"])

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments: `SequenceModel(**model.settings)` makes a model of the same form."""
        return {
            "cell": self.cell_name,
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "nonlinearity": self.nonlinearity,
            "dropout": self.dropout,
            "input_dropout": self.input_dropout,
            "dtype": self.dtype.name,
            "init": self.init,
            "seed": self.seed,
        }

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of the parameters by name."""
        return {name: view.copy() for name, view in self.parameters.items()}

    def load_state_dict(self, mapping: Mapping[str, Any]) -> None:
        """Take over parameters, all or nothing; see `bptt.network.layers.Recurrent.load_state_dict`."""
        named.load(self.parameters, mapping)
