"""`CharLM`: a character-level language model, from a text to a file and back."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pandas as pd

from bptt import arguments, seeds
from bptt.files.saving import check_replaceable
from bptt.text import corpus
from bptt.text.fitting import Checkpoint, TrainingRun, count_unknown, divide
from bptt.text.language_model import LanguageModel
from bptt.text.model_file import read_model, write_model
from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import Trainer
from bptt.text.recipe import FitConfig, dropout_for
from bptt.text.source import Text
from bptt.text.vocabulary import ByteVocabulary, Vocabulary
from bptt.training.optimizers import Optimizer
from bptt.training.schedules import Schedule

__all__ = ["CharLM"]

logger = logging.getLogger(__name__)


class CharLM(LanguageModel):
    """A recurrent network that predicts the next character of a text.

    An embedding, a stack of recurrent layers, and a softmax over the vocabulary (Graves, 2013). Training uses
    truncated backpropagation through time on contiguous streams of the text; the state is carried from window to
    window.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn"}
        Default "lstm".
    hidden_size : int
        Units of each recurrent layer; at least 1, default 256.
    num_layers : int
        Recurrent layers; at least 1, default 1.
    embedding_size : int
        Features of each character; at least 1, default 64.
    dropout : float or None
        Probability in [0, 1) of dropping an output of a recurrent layer during training. Default None: 0.4 for
        fewer than 100,000 training characters, 0.2 for more.
    input_dropout : float
        The same for the embedding, with one mask for all steps of a window (Gal & Ghahramani, 2016). Default 0.
    nonlinearity : {"tanh", "relu"}
        Activation of cell "rnn"; the other cells ignore it. Default "tanh".
    vocabulary : {"characters", "bytes"}
        Unicode characters (those of the training part, and one for all others), or the bytes of UTF-8. With
        bytes, every "character" below (in counts, lengths and figures) is a byte. Default "characters".
    dtype : {"float32", "float64"}
        Of the weights and of the arithmetic. Default "float32".
    seed : int or None
        Determines the initial weights, the dropout masks and the order of training: the same seed gives the same
        bits. Default 0. None draws a seed and keeps it in `settings`.

    Attributes
    ----------
    model : SequenceModel or None
        The network, None before `fit` or `load`.
    vocabulary : Vocabulary, ByteVocabulary or None
    history : pandas.DataFrame
        One row per epoch of the last `fit`: epoch, windows, characters, seconds (since the start),
        learning_rate (of the last window), train_nats (mean over the epoch, dropout on), validation_nats and
        validation_bits (with averaged weights: of the better of the two, and plain_nats and averaged_nats
        beside it), gradient_norm (mean), gradient_norm_max, clipped (share of windows), chars_per_second
        (training alone). `plot_history` draws the losses.
    training : dict
        Where the weights come from: the split, the corpus's sha256, the settings of `fit`, a summary of its
        history.
    interrupted : bool
        Whether Ctrl-C ended the last `fit`.

    Raises
    ------
    ValueError, TypeError
        An argument has another type or value than those accepted; the message names it.

    Examples
    --------
    >>> lm = CharLM(cell="gru", hidden_size=16, embedding_size=8, dropout=0.0, seed=0)
    >>> lm = lm.fit("abcd" * 500, streams=4, window=16, epochs=20, learning_rate=1e-2, progress=False)
    >>> lm.sample(prompt="abc", length=6, temperature=0)
    'dabcda'
    """

    @arguments.known_keywords
    def __init__(
        self,
        cell: Literal["lstm", "gru", "rnn"] = "lstm",
        hidden_size: int = 256,
        *,
        num_layers: int = 1,
        embedding_size: int = 64,
        dropout: float | None = None,
        input_dropout: float = 0.0,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        vocabulary: Literal["characters", "bytes"] = "characters",
        dtype: Literal["float32", "float64"] = "float32",
        seed: int | None = 0,
    ) -> None:
        self._params = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.settings: dict[str, Any] = {
            "cell": arguments.choice("cell", cell, ("lstm", "gru", "rnn")),
            "hidden_size": arguments.integer("hidden_size", hidden_size),
            "num_layers": arguments.integer("num_layers", num_layers),
            "embedding_size": arguments.integer("embedding_size", embedding_size),
            "nonlinearity": arguments.choice("nonlinearity", nonlinearity, ("tanh", "relu")),
            "dropout": None if dropout is None else arguments.fraction("dropout", dropout),
            "input_dropout": arguments.fraction("input_dropout", input_dropout),
            "dtype": arguments.dtype("dtype", dtype).name,
            "seed": seeds.resolve("seed", seed),
        }
        self.symbols = arguments.choice("vocabulary", vocabulary, ("characters", "bytes"))
        self.model: SequenceModel | None = None
        self.vocabulary: Vocabulary | ByteVocabulary | None = None
        self.history = pd.DataFrame()
        self.training: dict[str, Any] = {}
        self.interrupted = False

    def __repr__(self) -> str:
        shown = ("cell", "hidden_size", "num_layers", "embedding_size", "dropout", "seed")
        return f"CharLM({', '.join(f'{name}={self.settings[name]!r}' for name in shown)})"

    @arguments.known_keywords
    def fit(
        self,
        text: Text,
        *,
        streams: int | None = None,
        window: int | tuple[int, int] = 64,
        epochs: int = 15,
        optimizer: str | Optimizer = "adam",
        learning_rate: float = 2e-3,
        schedule: str | Schedule = "cosine",
        warmup: int = 0,
        clip_norm: float | None = 1.0,
        clip_value: float | None = None,
        weight_decay: float | None = None,
        average: float | None = None,
        validation_split: float = 0.1,
        split: str = "tail",
        patience: int | None = None,
        output: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: bool = True,
        callback: Callable[[dict[str, Any]], None] | None = None,
    ) -> CharLM:
        """Train from new weights on a text, and keep the weights with the best validation loss.

        The tail of the text is the validation part. The first `int((1 - validation_split) * length)` characters
        are cut into `streams` contiguous streams, which are read side by side, window by window. The state is
        carried from window to window and starts at zero in each epoch; the windows of each epoch start at a
        random offset. After each epoch the validation part is scored in 8 streams with carried state.

        An error, and Ctrl-C before the first validation, leave this object unchanged.

        Parameters
        ----------
        text : str or path
            A str is the text itself; a `pathlib.Path` is a file, or a folder of text files. A str that names an
            existing file is read as that file, with a message in the log; one that looks like the name of a
            missing file is an error.
        streams : int or None
            Streams read side by side: the batch size. Default None: automatic, by the length of the text (2 for
            about 6,000 training characters, 4 for 30,000, at most 32, for a million).
        window : int or (int, int)
            TBPTT(k1, k2): k1 steps between two updates, k2 >= k1 steps of backpropagation (Williams & Peng, 1990).
            One number sets both. Default 64.
        epochs : int
            Passes over the training part. Default 15.
        optimizer : {"adam", "adamw", "rmsprop", "sgd"} or an object of `bptt.training.optimizers`
            Default "adam".
        learning_rate : float
            The highest learning rate of the schedule. Default 2e-3.
        schedule : {"cosine", "constant", "plateau"} or a callable
            How the learning rate changes; see `bptt.training.schedules`. Default "cosine".
        warmup : int
            Steps at the start in which the learning rate rises linearly. Default 0.
        clip_norm, clip_value : float or None
            Upper limits of the gradient's global norm (default 1) and of each of its entries (default None: no limit).
        weight_decay : float or None
            Weight decay of a named optimizer. Default None: the optimizer's own default.
        average : float or None
            Decay (such as 0.998) of an exponential moving average of the weights. Both sets of weights are then
            validated, and the better one is kept. Default None: no average.
        validation_split : float
            Fraction of the text used for validation, in [0, 1). Default 0.1. With 0, the last weights are kept.
        split : {"tail", "lines"}
            "tail" (default): the end of the text is the validation part. "lines": its lines are shuffled first. Use
            it for lists, where the order has no meaning.
        patience : int or None
            Stop after this many epochs without a better validation loss. Default None: never.
        output : path or None
            A file that always holds the best model so far, also during training. Default None: no file.
        overwrite : bool
            Whether `output` may replace an existing model. A file that bptt did not write is never replaced.
            Default False.
        progress : bool
            Show a progress bar with loss, bits per character, characters per second and gradient norm. Default True.
        callback : callable or None
            Called with each new row of the history. Default None.

        Returns
        -------
        CharLM
            This object. Also after Ctrl-C, with `interrupted` set: the best model so far is kept, and one line on
            standard error tells where, or that there is none yet.

        Raises
        ------
        ValueError, TypeError
            An argument has another type or value than those accepted; the message names it. The text is empty or
            too short for one window in each stream.
        FileExistsError
            If `output` exists and must not be replaced (checked before training).
        OSError
            If the text cannot be read or `output` cannot be written (checked before training).
        bptt.NonFiniteError, ArithmeticError
            A loss or a gradient became infinite or NaN, or training diverged; `output` holds the best model so
            far, if there is one.
        """
        recipe = FitConfig(
            streams=streams,
            window=window,
            epochs=epochs,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            warmup=warmup,
            clip_norm=clip_norm,
            clip_value=clip_value,
            weight_decay=weight_decay,
            average=average,
            validation_split=validation_split,
            split=split,
            patience=patience,
        )
        arguments.boolean("overwrite", overwrite)
        arguments.boolean("progress", progress)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable or None; got {callback!r}")
        if output is not None:
            check_replaceable(arguments.path("output", output), overwrite=overwrite)
        whole = self._read(text)
        digest, seed = corpus.sha256(whole), self.settings["seed"]
        recipe, vocabulary, train, validation = divide(recipe.arrange(whole, seed), self.symbols, recipe)
        if self.model is not None:
            logger.warning("fit starts from new weights; they will replace the trained weights of this CharLM")

        settings = dict(self.settings)
        if settings["dropout"] is None:
            settings["dropout"] = dropout_for(len(train))
        model = SequenceModel(vocabulary_size=len(vocabulary), init="orthogonal", **settings)
        kept = SequenceModel(**model.settings)
        trainer = Trainer(
            model,
            streams=recipe.streams,  # type: ignore[arg-type]  # `divide` has chosen them
            window=recipe.window,
            optimizer=recipe.optimizer,
            clip_norm=clip_norm,
            clip_value=clip_value,
            average=average,
            seed=seed,
        )
        training = {
            "split": {
                "rule": recipe.split_rule,
                "train_characters": len(train),
                "validation_characters": len(validation),
                "unknown_in_validation": count_unknown(vocabulary, validation),
            },
            "corpus_sha256": digest,
            "settings": recipe.describe(),
        }
        saved = False

        def keep(best: Checkpoint, flat: np.ndarray) -> None:
            nonlocal saved
            kept.flat[:] = flat
            training["best"] = asdict(best)
            if output is not None:
                # Another process may have made the file after the check: only this run's own file is replaced.
                write_model(output, kept, vocabulary, training, overwrite=overwrite or saved)
                saved = True

        fitting = TrainingRun(
            model,
            trainer,
            recipe,
            corpus.streams(train, trainer.streams),
            validation,
            seed=seed,
            keep=keep,
            checkpoint=keep if output is not None else lambda best, flat: None,
            report=callback or (lambda row: None),
            progress=progress,
        )
        interrupted = False
        try:
            fitting.run()
        except KeyboardInterrupt:
            interrupted = True
            print(fitting.left_behind(output), file=sys.stderr)
        except ArithmeticError as error:
            error.add_note(fitting.left_behind(output, in_memory=False))
            raise
        self.interrupted = interrupted
        if fitting.best is not None:
            self.model, self.vocabulary, self.training = kept, vocabulary, training
            self.history = pd.DataFrame(fitting.history)
        return self

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CharLM:
        """Read a model that `save` or `fit(..., output=path)` wrote.

        Raises
        ------
        FileNotFoundError, OSError
            If the file is missing or cannot be read.
        ValueError
            The file is not a model, is truncated, or comes from a newer version; a tensor is missing or has a
            wrong shape. The message names the path and the reason.
        """
        model, vocabulary, training = read_model(path)
        settings = {name: value for name, value in model.settings.items() if name not in ("vocabulary_size", "init")}
        symbols: Any = vocabulary.kind
        lm = cls(vocabulary=symbols, **settings)
        lm.model, lm.vocabulary, lm.training = model, vocabulary, training
        return lm
