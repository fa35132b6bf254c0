"""What a trained character model does: score texts, generate them, and write itself to a file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bptt import arguments, seeds
from bptt.errors import NotFittedError
from bptt.params import HasParams
from bptt.text import evaluating, source
from bptt.text import sampling as generating
from bptt.text.fitting import count_unknown
from bptt.text.model_file import write_model
from bptt.text.network.model import SequenceModel
from bptt.text.source import Text
from bptt.text.vocabulary import ByteVocabulary, Vocabulary
from bptt.training.plotting import HasHistory

__all__ = ["LanguageModel"]


class LanguageModel(HasHistory, HasParams):
    """A network with the vocabulary of its text; `CharLM` makes and trains it.

    Attributes
    ----------
    model : SequenceModel or None
        The network, None before `fit` or `load`.
    vocabulary : Vocabulary, ByteVocabulary or None
    history : pandas.DataFrame
        One row per epoch of the last `fit`; see `CharLM`.
    training : dict
        Where the weights come from; see `CharLM`.
    symbols : {"characters", "bytes"}
    """

    model: SequenceModel | None
    vocabulary: Vocabulary | ByteVocabulary | None
    training: dict[str, Any]
    history: pd.DataFrame
    symbols: str

    @arguments.known_keywords
    def evaluate(
        self,
        text: Text,
        streams: int = 8,
        *,
        dynamic: bool = False,
        learning_rate: float | None = None,
        segment: int = 20,
    ) -> dict[str, float]:
        """Measure how well the model predicts a text.

        Every character but the first is predicted from those before it in its stream. A character that the
        model never saw is scored as "unknown", at a high loss.

        Parameters
        ----------
        text : str or path
            As for `fit`: a str is the text itself, a `pathlib.Path` a file; at least 2 characters.
        streams : int
            Largest number of contiguous parts that are read side by side, with carried state; each has 256
            characters or more. The rest at the end is predicted after the 512 characters before it. Default 8.
        dynamic : bool
            Dynamic evaluation (Krause et al., 2018): each segment of each stream is scored first, and a copy
            of the weights then learns from it (Adam with beta1 = 0, gradient norm clipped at 1). The result
            includes what the copy learns from the test text: report it as such. The model itself does not
            change. Default False.
        learning_rate : float or None
            Learning rate of dynamic evaluation; None (default) is 1e-3. Tune it on training text.
        segment : int
            Characters between two updates of dynamic evaluation. Default 20.

        Returns
        -------
        dict
            "nats_per_char", "bits_per_char", "perplexity" (per character), "characters" (predictions made) and
            "unknown" (characters of the text that the model never saw).

        Raises
        ------
        ValueError, TypeError
            There is no model yet, the text is too short, or an argument has another type or value than those
            accepted.
        OSError
            If the text cannot be read.

        Examples
        --------
        >>> import bptt
        >>> lm = bptt.text.CharLM(hidden_size=8, seed=0).fit("ab" * 500, streams=4, window=16, epochs=1, progress=False)
        >>> lm.evaluate("abab")["characters"]
        3
        """
        model, vocabulary = self._fitted()
        arguments.integer("streams", streams)
        arguments.integer("segment", segment)
        arguments.boolean("dynamic", dynamic)
        if learning_rate is not None and not dynamic:
            raise ValueError(f"learning_rate is for dynamic=True only; got {learning_rate!r}")
        tokens = vocabulary.encode(self._read(text), errors="unknown")
        if len(tokens) < 2:
            raise ValueError(f"text must have at least 2 characters to predict one; got {len(tokens)}")
        if dynamic:
            rate = evaluating.RATE if learning_rate is None else learning_rate
            arguments.real("learning_rate", rate, 0.0, open_ends="min")
            nats, count = evaluating.dynamic(model, tokens, streams, rate, segment)
        else:
            nats, count = evaluating.static(model, tokens, streams)
        mean = nats / count
        return {
            "nats_per_char": mean,
            "bits_per_char": mean / math.log(2),
            "perplexity": float(np.exp(np.minimum(mean, 700.0))),
            "characters": count,
            "unknown": count_unknown(vocabulary, tokens),
        }

    @arguments.known_keywords
    def sample(
        self,
        prompt: str | os.PathLike[str] = "",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = 0,
    ) -> str:
        """Generate a continuation of `prompt`, without the prompt itself.

        Parameters
        ----------
        prompt : str or path
            The text to continue. A str is always the text itself; a `pathlib.Path` is a file. An empty prompt
            (default) stands for a new line, or for the first character of the vocabulary if the text had none.
        length : int
            Number of characters to generate. Default 200.
        temperature : float
            Divides the logits: below 1 the text is more conservative, above 1 more random. 0: always the most
            likely character. Default 1.
        top_k : int or None
            Sample from the k most likely characters only (Fan, Lewis & Dauphin, 2018). Default None: from all.
        top_p : float or None
            Sample from the most likely characters whose probabilities, after `top_k`, add up to `top_p` (Holtzman et
            al., 2020). Default None: from all.
        seed : int or None
            The same seed gives the same text. Default 0; None draws a seed.

        Returns
        -------
        str
            `length` characters; with bytes, as many bytes, decoded (a character cut off at the end becomes
            U+FFFD). The unknown character is never generated.

        Raises
        ------
        ValueError, TypeError
            There is no model yet, the prompt has characters that the model never saw, or an argument has another
            type or value than those accepted.

        Examples
        --------
        >>> import bptt
        >>> lm = bptt.text.CharLM(hidden_size=8, seed=0).fit("ab" * 500, streams=4, window=16, epochs=1, progress=False)
        >>> len(lm.sample(length=10))
        10
        """
        return "".join(self.stream(prompt, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed))

    def stream(
        self,
        prompt: str | os.PathLike[str] = "",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = 0,
    ) -> Iterator[str]:
        """Generate what `sample` returns in parts, several times a second.

        Parameters and errors are those of `sample`.

        Examples
        --------
        >>> import bptt
        >>> lm = bptt.text.CharLM(hidden_size=8, seed=0).fit("ab" * 500, streams=4, window=16, epochs=1, progress=False)
        >>> "".join(lm.stream(length=10)) == lm.sample(length=10)
        True
        """
        model, vocabulary = self._fitted()
        if isinstance(prompt, os.PathLike):
            prompt = self._read(prompt)
        if not isinstance(prompt, str):
            raise TypeError(
                f"prompt must be a str (the text itself) or a pathlib.Path (a file); got {type(prompt).__name__}"
            )
        arguments.integer("length", length, 0)
        drawn = seeds.resolve("seed", seed)
        arguments.real("temperature", temperature, 0.0)
        if top_k is not None:
            arguments.integer("top_k", top_k)
        if top_p is not None:
            arguments.real("top_p", top_p, 0.0, 1.0, open_ends="min")
        unseen = vocabulary.unseen(prompt)
        if unseen:
            shown = ", ".join(map(repr, unseen[:10])) + (" ..." if len(unseen) > 10 else "")
            raise ValueError(f"prompt has character(s) the model never saw: {shown}; leave them out or replace them")
        tokens = vocabulary.encode(prompt or self._start())
        parts = generating.stream(model, tokens, length, temperature, top_k, top_p, vocabulary.unknown, drawn)
        return vocabulary.decode_parts(part for part, _ in parts)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the model to one file: safetensors, with vocabulary, settings and training as JSON in its header.

        The file is replaced atomically: after an interruption it is the old one or the new one.

        Parameters
        ----------
        path : str or path
        overwrite : bool
            Whether to replace an existing model. A file that bptt did not write is never replaced. Default False.

        Raises
        ------
        ValueError
            There is no model yet.
        FileExistsError
            The file exists and `overwrite` is not set, or bptt did not write it.
        OSError
            The file cannot be written; the message names the path.
        """
        model, vocabulary = self._fitted()
        write_model(path, model, vocabulary, self.training, overwrite=overwrite)

    def _fitted(self) -> tuple[SequenceModel, Vocabulary | ByteVocabulary]:
        if self.model is None or self.vocabulary is None:
            raise NotFittedError("this CharLM has no weights yet: call fit(text), or CharLM.load(path)")
        return self.model, self.vocabulary

    def _read(self, text: Text) -> str:
        return source.read(text, any_bytes=self.symbols == ByteVocabulary.kind)

    def _start(self) -> str:
        _, vocabulary = self._fitted()
        return vocabulary.decode([1]) if vocabulary.unseen("\n") else "\n"
