"""Layers one after the other, with all their parameters in one flat vector."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bptt import arguments, seeds
from bptt.network import sequential_file
from bptt.network.dense import Embedding, Linear
from bptt.network.dense_kernels import drop_rows
from bptt.network.gradients import Gradients, State
from bptt.network.layers import Recurrent
from bptt.network.module import Module
from bptt.network.parameters import views
from bptt.network.plain_layers import Dropout, LastStep
from bptt.numerics.threads import run

__all__ = ["Sequential", "SequentialTape"]


Layer = Recurrent | Linear | Embedding | Dropout | LastStep


@dataclass(frozen=True, eq=False, repr=False)
class SequentialTape:
    """What `Sequential.forward` leaves for `backward`: the tape of each layer, in order."""

    layers: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"SequentialTape({len(self.layers)} layers)"


class Sequential(Module):
    """Layers one after the other: each reads what the one before returns.

    Parameters
    ----------
    *layers : RNN, GRU, LSTM, Linear, Embedding, Dropout or LastStep
        All of one dtype, each layer once. They share the container's memory from then on.
    names : sequence of str, optional
        Of the layers, for the parameters' names; default: "0", "1", ... as in PyTorch.
    seed : int, optional
        From 0 to 2^63 - 1, of the masks of its `Dropout` layers; default: drawn and kept in `seed`.

    Attributes
    ----------
    layers : dict of str to layer
    parameters : mapping of str to array
        All layers' parameters under prefixed names, such as "0.weight_ih_l0": views into `flat`.
    flat : array
        All parameters as one vector.
    training : bool
        Whether dropout is on, in all layers; see `train` and `eval`.

    Raises
    ------
    TypeError, ValueError
        There are no layers, one stands twice or is of another type, the dtypes or `batch_first` differ, a layer does
        not fit the one before it, a name has a dot or stands twice.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> model = bptt.Sequential(bptt.LSTM(3, 5, seed=0), bptt.Linear(5, 2, seed=1))
    >>> y, state, tape = model.forward(np.ones((7, 4, 3), "float32"))
    >>> g = model.backward(np.ones_like(y), tape)
    >>> g.parameters["1.weight"].shape, g.flat.size == model.flat.size
    ((2, 5), True)
    """

    _fixed: ClassVar[frozenset[str]] = Module._fixed | {"layers", "seed", "batch_first"}

    def __init__(self, *layers: Layer, names: Any = None, seed: int | None = None) -> None:
        if not layers:
            raise ValueError("layers must be at least one layer; got none")
        for k, layer in enumerate(layers):
            if not isinstance(layer, Recurrent | Linear | Embedding | Dropout | LastStep):
                raise TypeError(
                    f"layers must be RNN, GRU, LSTM, Linear, Embedding, Dropout or LastStep; got {layer!r} as layer {k}"
                )
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("layers must be different objects; got one layer twice: make two, or copy.deepcopy one")
        for k, layer in enumerate(layers):
            if getattr(layer, "_contained", False):
                raise ValueError(
                    f"layers must not be in another Sequential; got {layer!r} as layer {k}: copy.deepcopy it"
                )
        given = [str(k) for k in range(len(layers))] if names is None else list(arguments.sequence("names", names))
        for name in given:
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"names must be strings without a dot; got {name!r}")
        if len(given) != len(layers) or len(set(given)) < len(given):
            raise ValueError(f"names must be {len(layers)} different names, one per layer; got {given}")
        owners = [layer for layer in layers if isinstance(layer, Module)]
        if not owners:
            raise ValueError(f"layers must hold at least one with parameters; got {layers}")
        dtypes = {layer.dtype.name for layer in owners}
        if len(dtypes) > 1:
            raise ValueError(f"layers must all have one dtype; got {', '.join(sorted(dtypes))}")
        orders = {layer.batch_first for layer in layers if isinstance(layer, Recurrent)}
        if len(orders) > 1:
            raise ValueError("layers must all have the same batch_first; got both")
        _check_order(layers)
        self.layers = dict(zip(given, layers, strict=True))
        self.batch_first = orders == {True}
        self.seed = seeds.resolve("seed", seed)
        self._masks_key = seeds.key(self.seed, "dropout")
        self._masks_drawn = 0
        shapes = {
            f"{name}.{parameter}": view.shape
            for name, layer in self.layers.items()
            if isinstance(layer, Module)
            for parameter, view in layer.parameters.items()
        }
        super().__init__(shapes, owners[0].dtype)
        self.training = True

    def _connect(self) -> None:
        super()._connect()
        start = 0
        for layer in self.layers.values():
            if isinstance(layer, Module):
                layer._move_to(self._storage[start : start + layer.flat.size])
                start += layer.flat.size

    @property
    def training(self) -> bool:
        """Whether dropout is on, in all layers; may be set, as by `train` and `eval`."""
        return self._training

    @training.setter
    def training(self, value: bool) -> None:
        self._training = arguments.boolean("training", value)
        for layer in self.layers.values():
            if isinstance(layer, Recurrent):
                layer.training = self._training

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers.values()))})"

    def train(self, mode: bool = True) -> Sequential:
        """Turn dropout on (`mode=True`) or off, in all layers."""
        self.training = arguments.boolean("mode", mode)
        return self

    def eval(self) -> Sequential:
        """Turn dropout off, in all layers."""
        return self.train(False)

    def __call__(
        self, x: Any, state: tuple[State, ...] | None = None, *, lengths: Any = None, reset: Any = None
    ) -> tuple[np.ndarray, tuple[State, ...]]:
        """Outputs and final states as `forward` returns them, without the memory and the time that a tape takes."""
        return self._run(x, state, lengths, reset, tape=False)[:2]

    def forward(
        self, x: Any, state: tuple[State, ...] | None = None, *, lengths: Any = None, reset: Any = None
    ) -> tuple[np.ndarray, tuple[State, ...], SequentialTape]:
        """Run all layers and remember what `backward` needs.

        Parameters
        ----------
        x : array
            What the first layer reads: (T, B, features), or integers (T, B) for an Embedding; with `batch_first`
            (B, T, ...).
        state : tuple of states, optional
            One for each recurrent layer; default: zeros.
        lengths : integers (B,) in 1 .. T, optional
            Steps of each sequence, for recurrent layers and `LastStep`.
        reset : booleans (T, B), optional
            Where the recurrent layers drop their state before a step.

        Returns
        -------
        y : array
            Outputs of the last layer.
        state : tuple of states
            After the last step, one for each recurrent layer.
        tape : SequentialTape

        Raises
        ------
        TypeError, ValueError
            An argument is of another type or shape, or holds NaN or infinity; the message names the layer.
        """
        return self._run(x, state, lengths, reset, tape=True)

    def _run(
        self, x: Any, state: Any, lengths: Any, reset: Any, tape: bool
    ) -> tuple[np.ndarray, tuple[State, ...], SequentialTape]:
        given = self._states("state", state)
        final: list[State] = []
        tapes: list[Any] = []
        for name, layer in self.layers.items():
            kept: Any = None
            try:
                if isinstance(layer, Recurrent):
                    if tape:
                        x, last, kept = layer.forward(x, given[name], lengths=lengths, reset=reset)
                    else:
                        x, last = layer(x, given[name], lengths=lengths, reset=reset)
                    final.append(last)
                elif isinstance(layer, Linear | Embedding):
                    x, kept = layer.forward(x) if tape else (layer(x), None)
                elif isinstance(layer, LastStep):
                    x, kept = self._last_step(x, lengths)
                else:
                    x, kept = self._dropped(layer, x)
            except (TypeError, ValueError) as error:
                error.add_note(f"in layer {name!r} of the Sequential, {layer!r}")
                raise
            tapes.append(kept)
        return x, tuple(final), SequentialTape(tuple(tapes))

    def _states(self, name: str, value: Any) -> dict[str, Any]:
        """A state, or None, for each recurrent layer."""
        recurrent = [key for key, layer in self.layers.items() if isinstance(layer, Recurrent)]
        if value is None:
            return dict.fromkeys(recurrent)
        if not isinstance(value, tuple) or len(value) != len(recurrent):
            got = str(len(value)) if isinstance(value, tuple) else type(value).__name__
            raise TypeError(f"{name} must be a tuple of {len(recurrent)} states, one per recurrent layer; got {got}")
        return dict(zip(recurrent, value, strict=True))

    def _last_step(self, x: np.ndarray, lengths: Any) -> tuple[np.ndarray, tuple[tuple[int, ...], Any]]:
        x = arguments.array("x", x)
        if x.ndim != 3:
            raise ValueError(f"x must have three dimensions, like the output of a recurrent layer; got {x.shape}")
        T, B = (x.shape[1], x.shape[0]) if self.batch_first else x.shape[:2]
        last: Any = T - 1
        if lengths is not None:
            last = arguments.integer_array("lengths", lengths, (B,), "B", 1, T, "T") - 1
        where = (np.arange(B), last) if self.batch_first else (last, np.arange(B))
        return x[where], (x.shape, where)

    def _dropped(self, layer: Dropout, x: np.ndarray) -> tuple[np.ndarray, int | None]:
        if not self.training or layer.p == 0:
            return x, None
        address = self._masks_drawn
        self._masks_drawn += 1
        return self._masked(layer, x, address), address

    def _masked(self, layer: Dropout, x: np.ndarray, address: int) -> np.ndarray:
        """x with the mask of this address; its own backward."""
        number = [*self.layers.values()].index(layer)
        rows = arguments.feature_rows("x", x, self.dtype, x.shape[-1])
        out = np.empty_like(rows)
        run(drop_rows, rows, out, self._masks_key, number, address, layer.p, threads=1)
        return out.reshape(x.shape)

    def backward(self, dy: np.ndarray, tape: SequentialTape, dstate: tuple[State, ...] | None = None) -> Gradients:
        """Back-propagate through all layers.

        Parameters
        ----------
        dy : array like y
            Derivatives of the loss by the outputs.
        tape : SequentialTape
            From the `forward` of this container.
        dstate : tuple of states, optional
            Derivatives of the loss by the final states; default: zeros.

        Returns
        -------
        Gradients
            `state` is a tuple, one for each recurrent layer.

        Raises
        ------
        TypeError, ValueError
            An array has another shape or dtype, or holds NaN or infinity; the tape is another container's.
        RuntimeError
            The parameters have changed since `forward`.
        """
        if not isinstance(tape, SequentialTape) or len(tape.layers) != len(self.layers):
            raise TypeError(f"tape must be the SequentialTape that this container's forward returned; got {tape!r}")
        flat = np.empty_like(self._flat)
        end, error = flat.size, dy
        states: list[State] = []
        given = [*self._states("dstate", dstate).values()]
        for (name, layer), kept in zip(reversed(self.layers.items()), reversed(tape.layers), strict=True):
            try:
                if isinstance(layer, LastStep):
                    shape, where = kept
                    spread = np.zeros(shape, self.dtype)
                    wanted = (*spread[where].shape,)
                    spread[where] = arguments.real_array("dy", error, self.dtype, wanted, "B, F")
                    error = spread
                    continue
                if isinstance(layer, Dropout):
                    error = error if kept is None else self._masked(layer, error, kept)
                    continue
                if isinstance(layer, Recurrent):
                    g = layer.backward(error, kept, given.pop())
                    states.insert(0, g.state)  # type: ignore[arg-type]
                else:
                    g = layer.backward(error, kept)
            except (TypeError, ValueError, RuntimeError) as fault:
                fault.add_note(f"in layer {name!r} of the Sequential, {layer!r}")
                raise
            flat[end - g.flat.size : end] = g.flat
            end -= g.flat.size
            error = g.x  # type: ignore[assignment]
        return Gradients(error, tuple(states), views(flat, self._shapes), flat)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the layers and their parameters as one safetensors file, whole or not at all.

        Parameters
        ----------
        path : str or path
        overwrite : bool
            Replace a model file that exists. Default False.

        Raises
        ------
        FileExistsError
            The file exists and `overwrite` is not set, or it is not a model file.
        TypeError
            A layer is of a class that is derived from the library's.
        OSError
            The file cannot be written; the message names the path.
        """
        sequential_file.write(path, self, self.layers, self.seed, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sequential:
        """Read a file of `save`. Dropout is on, as in a new model: see `eval`.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        FileNotFoundError, OSError
            The file is missing or cannot be read.
        ValueError
            The file is damaged, of another kind or of a newer version, or its tensors do not fit the layers. The
            message names the path and the reason.
        """
        return sequential_file.read(path, cls)


def _check_order(layers: tuple[Layer, ...]) -> None:
    """That each layer can read what the one before it returns."""
    features: int | None = None
    in_time = True
    for k, layer in enumerate(layers):
        if isinstance(layer, Embedding) and k > 0:
            raise ValueError(f"layers must have an Embedding only as the first; got {layer!r} as layer {k}")
        if isinstance(layer, Recurrent | LastStep) and not in_time:
            raise ValueError(f"layers after a LastStep must be Linear or Dropout; got {layer!r} as layer {k}")
        in_time = in_time and not isinstance(layer, LastStep)
        sizes = _sizes(layer)
        if sizes is None:
            continue
        if features is not None and sizes[0] != features:
            raise ValueError(f"layers must fit each other: layer {k}, {layer!r}, gets {features} features")
        features = sizes[1]


def _sizes(layer: Layer) -> tuple[int, int] | None:
    """Features in and out; None for a layer that leaves them as they are."""
    if isinstance(layer, Recurrent):
        return layer.input_size, layer.hidden_size
    if isinstance(layer, Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, Embedding):
        return layer.num_embeddings, layer.embedding_dim
    return None
