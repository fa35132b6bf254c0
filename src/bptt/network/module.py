"""What every layer has: parameters in one flat vector, by name, in copies as in the original."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bptt.network.parameters import Parameters, Shapes, convert, is_same, load, size_of, views
from bptt.numerics import memory
from bptt.numerics.checksum import checksum
from bptt.numerics.threads import run
from bptt.unroll.tape import Origin

__all__ = ["Module"]

# Attributes that make a layer large.
SIZES = (
    "vocabulary_size", "embedding_size", "input_size", "hidden_size", "num_layers", "in_features", "out_features",
    "num_embeddings", "embedding_dim",
)  # fmt: skip


class Module:
    """Base of all layers: one flat vector of parameters and views into it under their names.

    `flat` and `parameters` are the same memory, also in a copy made by `copy.deepcopy`, `pickle` or a process pool,
    which has memory of its own. A `copy.copy` shares the memory, as in PyTorch. What is assigned to `flat` or to
    `parameters[name]` is copied in. Sizes and dtype are set once, when the layer is made.
    """

    # Attributes that hold for a layer's life: its arrays have their shapes.
    _fixed: ClassVar[frozenset[str]] = frozenset({"dtype"})
    # What a copy makes anew.
    _own: ClassVar[frozenset[str]] = frozenset({"_flat", "_words", "_parameters", "_views", "_contained"})

    dtype: np.dtype[Any]

    def __init__(self, shapes: Shapes, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._shapes = dict(shapes)
        self._size = size_of(shapes)
        # By which a tape knows its layer, and copies of it.
        self._identity = secrets.randbits(64)
        # Whole words of 64 bits, of which the checksum is made.
        try:
            self._storage = memory.zeros((-(-self._size * dtype.itemsize // 8) * 8 // dtype.itemsize,), dtype)
        except (MemoryError, ValueError) as error:  # a ValueError where no array can have this size
            sizes = ", ".join(f"{name}={value}" for name, value in vars(self).items() if name in SIZES)
            raise MemoryError(
                f"{type(self).__name__} with {sizes} has {self._size} parameters, more than can be allocated"
            ) from error
        self._connect()

    def _connect(self) -> None:
        """Make the views into `_storage`, and whatever else a copy has for itself."""
        if not self._storage.flags.carray:  # unpickled from a buffer that cannot be written to
            self._storage = np.array(self._storage, order="C")
        whole = self._storage.nbytes % 8 == 0 and self._storage.ctypes.data % 8 == 0
        self._words = self._storage.view(np.uint64 if whole else np.uint32)
        self._flat = self._storage[: self._size]
        named = views(self._flat, self._shapes)
        self._views = list(named.values())
        self._parameters = Parameters(named)

    def _move_to(self, storage: np.ndarray) -> None:
        """Have the parameters in this memory, a part of a container's, from now on."""
        storage[:] = self._flat
        self._storage = storage
        self._connect()
        self._contained = True

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed and name in self.__dict__:
            raise AttributeError(
                f"{name} of a {type(self).__name__} is set when the layer is made; got {name} = {value!r}: make a new "
                f"layer"
            )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._fixed:
            raise AttributeError(f"{name} of a {type(self).__name__} cannot be deleted")
        super().__delattr__(name)

    @property
    def flat(self) -> np.ndarray:
        """All parameters as one vector: the memory of `parameters`. What is assigned to it is copied in."""
        return self._flat[...]

    @flat.setter
    def flat(self, value: Any) -> None:
        if not is_same(value, self._flat):  # `layer.flat -= ...` assigns what it has already written
            self._flat[...] = convert("flat", value, self._flat)

    @property
    def parameters(self) -> Parameters:
        """The parameters by name, views into `flat`. What is assigned to `parameters[name]` is copied in."""
        return self._parameters

    @parameters.setter
    def parameters(self, value: Any) -> None:
        raise AttributeError(
            f"parameters of a {type(self).__name__} cannot be replaced; got {type(value).__name__}: copy values in by "
            f"load_state_dict(mapping) or parameters[name] = array"
        )

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of the parameters under PyTorch's names."""
        return {name: view.copy() for name, view in self._parameters.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over parameters, for example `torch_module.state_dict()`, all or nothing.

        Parameters
        ----------
        state_dict : mapping of str to array-like
            Exactly the names of `parameters`; values of the same shapes, anything `np.asarray` takes.

        Raises
        ------
        TypeError, ValueError
            A key is missing or unknown, or a value has another shape, is not real or not finite. Nothing was loaded.
        """
        load(self._parameters, state_dict)

    def _origin(self) -> Origin:
        """By which a tape knows this layer and its parameters as they are now."""
        return Origin(self._identity, self._checksum())

    def _check_origin(self, tape: Any, kind: type[Any]) -> None:
        """That `tape` is of this kind, and from a forward of this layer with the parameters as they are now."""
        if type(tape) is not kind:
            raise TypeError(
                f"tape must be the {kind.__name__} that this layer's forward returned; got {type(tape).__name__}"
            )
        if tape.origin.layer != self._identity:
            raise ValueError(
                f"tape must come from the forward of this layer, or of one that it is a copy of, {self!r}; got another "
                f"layer's, {tape!r}"
            )
        if tape.origin.checksum != self._checksum():
            raise RuntimeError(
                f"the parameters of {self!r} have changed since the forward that made this tape (an optimizer step, "
                f"load_state_dict, an assignment): call backward before changing them, or forward again"
            )

    def _checksum(self) -> int:
        with np.errstate(over="ignore"):  # uncompiled, NumPy would warn that the sum is one mod 2^64
            return int(run(checksum, self._words, threads=1))
