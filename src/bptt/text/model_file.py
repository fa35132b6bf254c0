"""The one file of a character model: its tensors, its vocabulary, and where it comes from."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bptt.network.sequence_model import SequenceModel
from bptt.text.vocabulary import ByteVocabulary, Vocabulary, vocabulary_from_settings
from bptt.training.saving import read_tensors, write_tensors

__all__ = ["read_model", "write_model"]

FORMAT, VERSION = "bptt.CharLM", 1


def write_model(
    path: str | os.PathLike[str],
    model: SequenceModel,
    vocabulary: Vocabulary | ByteVocabulary,
    training: dict[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write a model as one safetensors file, whole or not at all.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is not set, or it is not a model file.
    OSError
        Naming the path, if it cannot be written.
    """
    metadata = {"model": model.settings, "vocabulary": vocabulary.settings, "training": training}
    write_tensors(path, FORMAT, VERSION, model.parameters, metadata, overwrite=overwrite)


def read_model(
    path: str | os.PathLike[str],
) -> tuple[SequenceModel, Vocabulary | ByteVocabulary, dict[str, Any]]:
    """Read a file of `write_model`: the network, the vocabulary, the training's provenance.

    Raises
    ------
    FileNotFoundError, OSError
        If the file is missing or cannot be read.
    ValueError
        Naming the path and the reason: a truncated file, one of another program or of a newer version,
        tensors that are missing or do not fit the settings.
    """
    tensors, metadata = read_tensors(path, FORMAT, VERSION)
    try:
        settings, symbols, training = (metadata.get(name) for name in ("model", "vocabulary", "training"))
        if not isinstance(settings, dict) or not isinstance(symbols, dict) or not isinstance(training, dict):
            raise ValueError("the header describes no model with a vocabulary")
        vocabulary = vocabulary_from_settings(symbols)
        _check_sizes(settings, tensors, len(vocabulary))
        model = SequenceModel(**settings)
        model.load_state_dict(tensors)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
    return model, vocabulary, training


def _check_sizes(settings: dict[str, Any], tensors: dict[str, np.ndarray], symbols: int) -> None:
    """Hold a file's settings against its tensors before anything is allocated from them."""
    V, E, H = (settings.get(name) for name in ("vocabulary_size", "embedding_size", "hidden_size"))
    if V != symbols:
        raise ValueError(f"the vocabulary has {symbols} symbols, the model {V!r}")
    for name, shape in (("embedding.weight", (V, E)), ("head.weight", (V, H)), ("head.bias", (V,))):
        if name not in tensors:
            raise ValueError(f"tensor {name!r} is missing")
        if tensors[name].shape != shape:
            raise ValueError(f"tensor {name!r} must have shape {shape}; got {tensors[name].shape}")
    layers = sum(name.startswith("rnn.weight_ih_l") for name in tensors)
    if settings.get("num_layers") != layers:
        raise ValueError(f"num_layers is {settings.get('num_layers')!r}, but the tensors are of {layers} layers")
    for name, tensor in tensors.items():
        if tensor.dtype.name != settings.get("dtype"):
            raise ValueError(f"tensor {name!r} must be {settings.get('dtype')!r}; got {tensor.dtype}")
