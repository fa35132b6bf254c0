"""Embedding, stacked recurrent layers, linear head: the network of a language model over discrete symbols."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy.typing as npt

from bptt import arguments, seeds
from bptt.cells.table import CELLS
from bptt.network import parameters as named
from bptt.network.initialisers import INITIALISERS, glorot_uniform, initialise
from bptt.network.module import Module

__all__ = ["SequenceModel", "parameter_shapes"]


def parameter_shapes(
    *,
    vocabulary_size: int,
    embedding_size: int,
    hidden_size: int,
    num_layers: int,
    cell: str,
    nonlinearity: str = "tanh",
) -> named.Shapes:
    """Names and shapes of a model's parameters, without making them; arguments as of `SequenceModel`."""
    V, E, H, L = (
        arguments.integer(name, value)
        for name, value in (
            ("vocabulary_size", vocabulary_size),
            ("embedding_size", embedding_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        )
    )
    arguments.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    kind = CELLS[f"rnn_{nonlinearity}" if arguments.choice("cell", cell, ("rnn", "gru", "lstm")) == "rnn" else cell]
    layers = named.layer_shapes(kind, E, H, L, "rnn.")
    return {"embedding.weight": (V, E), **layers, "head.weight": (V, H), "head.bias": (V,)}


class SequenceModel(Module):
    """Parameters and settings of embedding -> RNN, GRU or LSTM -> linear head, in one flat vector.

        x_t = E[token_t],    h_t = layers(x_t, h_{t-1}),    logits_t = h_t W_head + b_head

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
        Default "lstm".
    vocabulary_size : int
        Symbols; at least 1.
    embedding_size : int
        Features of each symbol; at least 1, default 64.
    hidden_size : int
        Units of each recurrent layer; at least 1, default 256.
    num_layers : int
        Recurrent layers; at least 1, default 1.
    nonlinearity : {"tanh", "relu"}
        Of `cell="rnn"`. Default "tanh".
    dropout : float
        In [0, 1): on the output of every recurrent layer, while training. Default 0.
    input_dropout : float
        In [0, 1): on the embedding, one mask for all steps of a window (Gal & Ghahramani 2016), while training.
        Default 0.
    dtype : {"float32", "float64"}
        Default "float32".
    init : {"pytorch", "orthogonal"}
        Of the recurrent layers; the head is Glorot-uniform with bias 0, the embedding N(0, 1) as in PyTorch. Default
        "orthogonal".
    seed : int, optional
        From 0 to 2^63 - 1, of the initial parameters; default: drawn and kept in `seed`.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or is outside its range.

    Examples
    --------
    >>> model = SequenceModel(vocabulary_size=65, embedding_size=64, hidden_size=256)
    >>> model.flat.size
    350593
    """

    _fixed: ClassVar[frozenset[str]] = Module._fixed | {
        "cell", "cell_name", "vocabulary_size", "embedding_size", "hidden_size", "num_layers", "nonlinearity", "init",
        "shapes", "seed",
    }  # fmt: skip

    @arguments.known_keywords
    def __init__(
        self,
        *,
        vocabulary_size: int,
        cell: Literal["rnn", "gru", "lstm"] = "lstm",
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        dtype: Literal["float32", "float64"] | npt.DTypeLike = "float32",
        init: Literal["pytorch", "orthogonal"] = "orthogonal",
        seed: int | None = None,
    ) -> None:
        self.vocabulary_size = arguments.integer("vocabulary_size", vocabulary_size)
        self.embedding_size = arguments.integer("embedding_size", embedding_size)
        self.hidden_size = arguments.integer("hidden_size", hidden_size)
        self.num_layers = arguments.integer("num_layers", num_layers)
        self.dropout = arguments.fraction("dropout", dropout)
        self.input_dropout = arguments.fraction("input_dropout", input_dropout)
        self.nonlinearity = arguments.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        self.cell_name = arguments.choice("cell", cell, ("rnn", "gru", "lstm"))
        self.cell = CELLS[f"rnn_{self.nonlinearity}" if cell == "rnn" else cell]
        self.init = arguments.choice("init", init, tuple(INITIALISERS))
        dtype = arguments.dtype("dtype", dtype)
        self.seed = seeds.resolve("seed", seed)
        self.shapes = parameter_shapes(
            vocabulary_size=self.vocabulary_size,
            embedding_size=self.embedding_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            cell=self.cell_name,
            nonlinearity=self.nonlinearity,
        )
        super().__init__(self.shapes, dtype)
        rng = seeds.generator(self.seed, "parameters")
        self.parameters["embedding.weight"] = rng.standard_normal(self.shapes["embedding.weight"])
        recurrent = {name: view for name, view in self.parameters.items() if name.startswith("rnn.")}
        initialise(self.cell, recurrent, self.hidden_size, self.init, rng)
        self.parameters["head.weight"] = glorot_uniform(rng, self.shapes["head.weight"])

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
