"""The one file of a character model: its tensors, its vocabulary, and where it comes from."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np

from bptt import arguments
from bptt.files import saving
from bptt.files.schema import check_equal, check_layers, check_tensors, record, within
from bptt.text.network.model import SequenceModel, parameter_shapes
from bptt.text.vocabulary import ByteVocabulary, Vocabulary, vocabulary_from_settings

__all__ = ["read_model", "write_model"]

FORMAT, VERSION = "bptt.CharLM", 1
# The arguments of a SequenceModel, and those that decide the shapes of its tensors.
SETTINGS = tuple(inspect.signature(SequenceModel).parameters)
SHAPED = tuple(inspect.signature(parameter_shapes).parameters)


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
        The file cannot be written; the message names the path.
    """
    metadata = {"model": model.settings, "vocabulary": vocabulary.settings, "training": training}
    saving.write_tensors(path, FORMAT, VERSION, model.parameters, metadata, overwrite=overwrite)


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
    return saving.read_model(path, FORMAT, VERSION, _build)


def _build(
    tensors: dict[str, np.ndarray], metadata: dict[str, Any]
) -> tuple[SequenceModel, Vocabulary | ByteVocabulary, dict[str, Any]]:
    record(metadata, ("format", "version", "model", "vocabulary", "training"))
    settings, training = metadata["model"], metadata["training"]
    if not isinstance(training, dict):
        raise ValueError(f"training must be an object; got {type(training).__name__}")
    with within("vocabulary"):
        vocabulary = vocabulary_from_settings(metadata["vocabulary"])
    with within("model"):
        record(settings, SETTINGS)
        size = settings["vocabulary_size"]
        if size != len(vocabulary):
            raise ValueError(f"vocabulary_size must be {len(vocabulary)}, that of the vocabulary; got {size!r}")
    # Sizes are plain integers until they are known to be those of the tensors.
    check_layers(tensors, settings["num_layers"], "rnn.")
    with within("model"):
        shapes = parameter_shapes(**{name: settings[name] for name in SHAPED})
        dtype = arguments.dtype("dtype", settings["dtype"])
    check_tensors(tensors, shapes, dtype)
    with within("model"):
        model = SequenceModel(**settings)
        check_equal(settings, model.settings, "as the constructor takes it")
    model.load_state_dict(tensors)
    return model, vocabulary, training
