"""The file of a `Sequential`: which layers it has, and their parameters."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from bptt import arguments
from bptt.cells.table import CELLS
from bptt.files.saving import read_model, write_tensors
from bptt.files.schema import check_layers, check_tensors, listing, record, text, within
from bptt.network.dense import Embedding, Linear
from bptt.network.module import Module
from bptt.network.parameters import Shapes, layer_shapes
from bptt.network.plain_layers import Dropout, LastStep
from bptt.network.recurrent import GRU, LSTM, RNN

__all__ = ["read", "write"]

Made = TypeVar("Made", bound=Module)

FORMAT, VERSION = "bptt.Sequential", 1
# The types of layers in files, and their arguments there.
RECURRENT = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
SIZES = ("input_size", "hidden_size", "num_layers", "dropout", "batch_first")
FIELDS = {
    "RNN": (*SIZES, "nonlinearity"),
    "GRU": SIZES,
    "LSTM": SIZES,
    "Linear": ("in_features", "out_features", "bias"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "Dropout": ("p",),
    "LastStep": (),
}
TYPES: dict[str, type[Any]] = {
    **RECURRENT,
    "Linear": Linear,
    "Embedding": Embedding,
    "Dropout": Dropout,
    "LastStep": LastStep,
}


def write(
    path: str | os.PathLike[str], model: Module, layers: Mapping[str, Any], seed: int, *, overwrite: bool
) -> None:
    """Write the layers of a container; raises what `Sequential.save` documents."""
    described = []
    for name, layer in layers.items():
        kind = type(layer).__name__
        if TYPES.get(kind) is not type(layer):
            raise TypeError(f"layer {name!r} must be one of {', '.join(TYPES)} to be saved; got {layer!r}")
        described.append({"name": name, "type": kind, **{field: getattr(layer, field) for field in FIELDS[kind]}})
    metadata = {"layers": described, "dtype": model.dtype.name, "seed": seed}
    write_tensors(path, FORMAT, VERSION, model.parameters, metadata, overwrite=overwrite)


def read(path: str | os.PathLike[str], make: Callable[..., Made]) -> Made:
    """Read a file of `write`; `make` is `Sequential`. Raises what `Sequential.load` documents."""
    return read_model(path, FORMAT, VERSION, functools.partial(_build, make))


def _build(make: Callable[..., Made], tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> Made:
    record(metadata, ("format", "version", "layers", "dtype", "seed"))
    dtype = arguments.dtype("dtype", metadata["dtype"])
    seed = arguments.integer("seed", metadata["seed"], 0)
    described = listing("layers", metadata["layers"])
    shapes: Shapes = {}
    # Sizes are plain integers until they are known to be those of the tensors.
    for k, given in enumerate(described):
        with within(f"layers[{k}]"):
            kind = given.get("type") if isinstance(given, dict) else None
            if not isinstance(kind, str) or kind not in TYPES:
                raise ValueError(f"type must be one of {', '.join(TYPES)}; got {kind!r}")
            record(given, ("name", "type", *FIELDS[kind]))
            shapes |= _shapes_of(f"{text('name', given['name'])}.", given, tensors)
    check_tensors(tensors, shapes, dtype)
    layers = []
    for k, given in enumerate(described):
        with within(f"layers[{k}]"):
            own = {field: given[field] for field in FIELDS[given["type"]]}
            more = {"dtype": dtype, "seed": 0} if issubclass(TYPES[given["type"]], Module) else {}
            layers.append(TYPES[given["type"]](**own, **more))
    model = make(*layers, names=[given["name"] for given in described], seed=seed)
    model.load_state_dict(tensors)
    return model


def _shapes_of(prefix: str, given: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> Shapes:
    """The parameters of a layer of a file, whose sizes may be anything."""
    kind = given["type"]
    if kind in RECURRENT:
        check_layers(tensors, given["num_layers"], prefix)
        sizes = [arguments.integer(name, given[name]) for name in ("input_size", "hidden_size", "num_layers")]
        return layer_shapes(CELLS["rnn_tanh" if kind == "RNN" else kind.lower()], sizes[0], sizes[1], sizes[2], prefix)
    if kind == "Linear":
        rows, columns = (arguments.integer(name, given[name]) for name in ("out_features", "in_features"))
        bias = arguments.boolean("bias", given["bias"])
        return {f"{prefix}weight": (rows, columns), **({f"{prefix}bias": (rows,)} if bias else {})}
    if kind == "Embedding":
        sizes = [arguments.integer(name, given[name]) for name in ("num_embeddings", "embedding_dim")]
        return {f"{prefix}weight": (sizes[0], sizes[1])}
    return {}
