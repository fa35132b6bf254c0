"""What counting reaches: interpolated character n-grams, the marks a network has to beat on the same split.

Witten & Bell (1991), method C, interpolated down to the uniform distribution (Chen & Goodman, 1999, section
2.5). With N(ctx) occurrences of a context in the training text, N(ctx, s) of them followed by s, and D(ctx)
distinct symbols following it:

    p_n(s | ctx) = (N(ctx, s) + D(ctx) p_{n-1}(s | ctx without its oldest symbol)) / (N(ctx) + D(ctx))
    p_0(s) = 1 / V          and p_n = p_{n-1} where the context was never seen
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bptt import arguments

__all__ = ["witten_bell"]


def witten_bell(train: NDArray[np.integer], test: NDArray[np.integer], symbols: int, order: int) -> NDArray[np.float64]:
    """Cross-entropy of `test` under the n-gram models of `train`, for every n up to `order`.

    Contexts do not reach from one text into the other: the first symbols of `test` are predicted from what
    there is.

    Parameters
    ----------
    train, test : integer (N,), (M,)
        Both with at least one entry, all in 0 .. symbols - 1.
    symbols : int
        V, the number of different symbols.
    order : int
        The longest n-gram, at least 1 (a context of order - 1 symbols).

    Returns
    -------
    float64 (order,)
        Nats per symbol of order 1, 2, ...

    Raises
    ------
    ValueError, TypeError
        If a text is empty, is not a row of integers or holds a symbol outside, or `order` is below 1.

    Examples
    --------
    >>> text = np.array([0, 1] * 50)
    >>> witten_bell(text, text, symbols=2, order=2).round(2).tolist()
    [0.69, 0.02]
    """
    arguments.integer("order", order)
    arguments.integer("symbols", symbols)
    train = arguments.integer_array("train", train, (None,), "N", 0, symbols - 1, "symbols - 1")
    test = arguments.integer_array("test", test, (None,), "M", 0, symbols - 1, "symbols - 1")

    tokens = np.concatenate([train, test]).astype(np.int64)
    border = len(train)
    p = np.full(len(test), 1 / symbols)
    context = np.zeros(len(tokens), np.int64)  # number of the context that each symbol stands in
    nats = []
    for n in range(1, order + 1):
        # Numbering the n-grams afresh at every order keeps the numbers below len(tokens), whatever n and V.
        _, gram = np.unique(context * symbols + tokens, return_inverse=True)
        seen, tested = np.arange(n - 1, border), np.arange(border + n - 1, len(tokens))
        count = np.bincount(gram[seen], minlength=len(tokens))
        total = np.bincount(context[seen], minlength=len(tokens))
        _, first = np.unique(gram[seen], return_index=True)
        distinct = np.bincount(context[seen][first], minlength=len(tokens))

        tested = tested[total[context[tested]] > 0]
        ctx, lower = context[tested], p[tested - border]
        p[tested - border] = (count[gram[tested]] + distinct[ctx] * lower) / (total[ctx] + distinct[ctx])
        nats.append(-np.log(p).mean())
        context = np.concatenate([[0], gram[:-1]])
    return np.array(nats)
