"""The recurrent layers that users compose: stacked RNN, GRU and LSTM."""

from __future__ import annotations

from typing import Literal

import numpy.typing as npt

from bptt import arguments
from bptt.cells.table import CELLS
from bptt.network.layers import Recurrent

__all__ = ["GRU", "LSTM", "RNN"]


class RNN(Recurrent):
    """Simple recurrent network, h_t = tanh(x_t W + h_{t-1} U + b), or with relu or nothing for tanh (Elman 1990).

    Parameters
    ----------
    input_size : int
        Features of x; at least 1.
    hidden_size : int
        Units of each layer; at least 1.
    num_layers : int
        Layers, each on the outputs of the one before; at least 1, default 1.
    nonlinearity : {"tanh", "relu", "identity"}
        Default "tanh"; "identity" is the linear network.
    dropout : float
        Probability in [0, 1) of dropping an output of any layer but the last during training; the others are
        scaled by 1 / (1 - dropout) (Srivastava et al. 2014). Default 0.
    batch_first : bool
        Whether x, y and their gradients are (B, T, ...) instead of (T, B, ...). States are always (L, B, H).
        Default False.
    dtype : {"float32", "float64"}
        Of the parameters, inputs, outputs and arithmetic. Default "float32".
    seed : int, optional
        From 0 to 2^63 - 1; determines the initial parameters and the dropout masks. Default: drawn from the
        operating system and kept in `seed`.
    init : {"pytorch", "orthogonal"}
        "pytorch" (default): U(-1/sqrt(H), 1/sqrt(H)) everywhere. "orthogonal": Glorot-uniform input weights, orthogonal
        recurrent weights, biases 0.

    Attributes
    ----------
    parameters : mapping of str to array
        Views into `flat` under PyTorch's names; what is assigned is copied in.
    flat : array
        All parameters as one vector.
    training : bool
        Whether dropout is on; see `train` and `eval`.

    Raises
    ------
    TypeError, ValueError
        An argument is unknown, has another type or is outside its range; the message names it.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> y, h = bptt.RNN(input_size=3, hidden_size=5, nonlinearity="relu")(np.ones((7, 2, 3), "float32"))
    >>> h.shape
    (1, 2, 5)
    """

    _fixed = Recurrent._fixed | {"nonlinearity"}

    @arguments.known_keywords
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: Literal["tanh", "relu", "identity"] = "tanh",
        dropout: float = 0.0,
        batch_first: bool = False,
        dtype: Literal["float32", "float64"] | npt.DTypeLike = "float32",
        seed: int | None = None,
        init: Literal["pytorch", "orthogonal"] = "pytorch",
    ) -> None:
        self.nonlinearity = arguments.choice("nonlinearity", nonlinearity, ("tanh", "relu", "identity"))
        super().__init__(
            CELLS[f"rnn_{self.nonlinearity}"], input_size, hidden_size, num_layers,
            dropout=dropout, batch_first=batch_first, dtype=dtype, seed=seed, init=init,
        )  # fmt: skip


class GRU(Recurrent):
    """Gated recurrent unit, reset after the product as in PyTorch (Cho et al. 2014).

    Parameters
    ----------
    input_size : int
        Features of x; at least 1.
    hidden_size : int
        Units of each layer; at least 1.
    num_layers : int
        Layers, each on the outputs of the one before; at least 1, default 1.
    dropout : float
        Probability in [0, 1) of dropping an output of any layer but the last during training; the others are
        scaled by 1 / (1 - dropout) (Srivastava et al. 2014). Default 0.
    batch_first : bool
        Whether x, y and their gradients are (B, T, ...) instead of (T, B, ...). States are always (L, B, H).
        Default False.
    dtype : {"float32", "float64"}
        Of the parameters, inputs, outputs and arithmetic. Default "float32".
    seed : int, optional
        From 0 to 2^63 - 1; determines the initial parameters and the dropout masks. Default: drawn from the
        operating system and kept in `seed`.
    init : {"pytorch", "orthogonal"}
        "pytorch" (default): U(-1/sqrt(H), 1/sqrt(H)) everywhere. "orthogonal": Glorot-uniform input weights, orthogonal
        recurrent weights, biases 0.

    Attributes
    ----------
    parameters : mapping of str to array
        Views into `flat` under PyTorch's names; what is assigned is copied in.
    flat : array
        All parameters as one vector.
    training : bool
        Whether dropout is on; see `train` and `eval`.

    Raises
    ------
    TypeError, ValueError
        An argument is unknown, has another type or is outside its range; the message names it.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> y, h = bptt.GRU(input_size=3, hidden_size=5, num_layers=2)(np.ones((7, 2, 3), "float32"))
    >>> h.shape
    (2, 2, 5)
    """

    @arguments.known_keywords
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        batch_first: bool = False,
        dtype: Literal["float32", "float64"] | npt.DTypeLike = "float32",
        seed: int | None = None,
        init: Literal["pytorch", "orthogonal"] = "pytorch",
    ) -> None:
        super().__init__(
            CELLS["gru"], input_size, hidden_size, num_layers,
            dropout=dropout, batch_first=batch_first, dtype=dtype, seed=seed, init=init,
        )  # fmt: skip


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    Parameters
    ----------
    input_size : int
        Features of x; at least 1.
    hidden_size : int
        Units of each layer; at least 1.
    num_layers : int
        Layers, each on the outputs of the one before; at least 1, default 1.
    dropout : float
        Probability in [0, 1) of dropping an output of any layer but the last during training; the others are
        scaled by 1 / (1 - dropout) (Srivastava et al. 2014). Default 0.
    batch_first : bool
        Whether x, y and their gradients are (B, T, ...) instead of (T, B, ...). States are always (L, B, H).
        Default False.
    dtype : {"float32", "float64"}
        Of the parameters, inputs, outputs and arithmetic. Default "float32".
    seed : int, optional
        From 0 to 2^63 - 1; determines the initial parameters and the dropout masks. Default: drawn from the
        operating system and kept in `seed`.
    init : {"pytorch", "orthogonal"}
        "pytorch" (default): U(-1/sqrt(H), 1/sqrt(H)) everywhere. "orthogonal": Glorot-uniform input weights, orthogonal
        recurrent weights, biases 0, those of the forget gate 1 (Jozefowicz et al. 2015).

    Attributes
    ----------
    parameters : mapping of str to array
        Views into `flat` under PyTorch's names; what is assigned is copied in.
    flat : array
        All parameters as one vector.
    training : bool
        Whether dropout is on; see `train` and `eval`.

    Raises
    ------
    TypeError, ValueError
        An argument is unknown, has another type or is outside its range; the message names it.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> y, (h, c) = bptt.LSTM(input_size=3, hidden_size=5, dtype="float64")(np.ones((7, 2, 3)))
    >>> c.shape
    (1, 2, 5)
    """

    @arguments.known_keywords
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        batch_first: bool = False,
        dtype: Literal["float32", "float64"] | npt.DTypeLike = "float32",
        seed: int | None = None,
        init: Literal["pytorch", "orthogonal"] = "pytorch",
    ) -> None:
        super().__init__(
            CELLS["lstm"], input_size, hidden_size, num_layers,
            dropout=dropout, batch_first=batch_first, dtype=dtype, seed=seed, init=init,
        )  # fmt: skip
