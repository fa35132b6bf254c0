"""How far back does an error reach? The length of dL/dh_t by lag, for the RNN, the GRU and the LSTM.

Three character models are trained for a moment on the same text: Python source of the standard library.
Then the loss at the last step alone of a window is sent back through time, and the backward loop is
asked for what it holds at every step on the way: the whole derivative of that loss by the output h_t,
`lag` steps before the end. Where it shrinks by the same factor each step, nothing further back can be
learnt from (Bengio, Simard & Frasconi 1994); the additive path of the LSTM's cell state was invented
against that (Hochreiter & Schmidhuber 1997).

    python examples/vanishing_gradient.py
    python examples/vanishing_gradient.py --plot vanishing_gradient.png        # needs the extra `plot`
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

import numpy as np

from bptt import study
from bptt.text import CharLM, corpus

Cell = Literal["rnn", "gru", "lstm"]
CELLS: tuple[Cell, ...] = ("rnn", "gru", "lstm")
LAGS = (0, 1, 2, 3, 5, 8, 12, 20, 30, 45, 63)


def error_by_lag(lm: CharLM, text: str, steps: int, rows: int) -> np.ndarray:
    """Mean length of dL/dh_t over `rows` windows of `text`, by lag: (steps,)."""
    problem = study.problem(lm, text, steps=steps, rows=rows, last=True)
    norms = study.gradient_by_lag(problem, per="sum").arrays["norms"]
    # The loss is a mean over the rows: times `rows`, each row's error is that of its own loss.
    return np.asarray(norms.mean(axis=1) * rows)


def plot(lengths: dict[str, np.ndarray], path: Path) -> None:
    """Length against lag, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for cell, length in lengths.items():
        axis.semilogy(length, label=cell.upper())
    axis.set(xlabel="lag: steps before the loss", ylabel="mean length of dL/dh")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--characters", type=int, default=300_000, help="length of the text")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=64, help="length of a window")
    parser.add_argument("--plot", type=Path, help="also draw the table into this file")
    options = parser.parse_args(arguments)

    text = corpus.standard_library(size=options.characters)
    lengths: dict[str, np.ndarray] = {}
    losses: dict[str, float] = {}
    for cell in CELLS:
        lm = CharLM(cell=cell, hidden_size=options.hidden_size, embedding_size=32, dropout=0.0, seed=0)
        lm.fit(text, streams=16, window=options.steps, epochs=options.epochs)
        lengths[cell] = error_by_lag(lm, text[-options.characters // 10 :], options.steps, rows=32)
        losses[cell] = lm.history["validation_nats"].min()

    print("\nMean length of dL/dh_t, L the loss at the last step of a window")
    print("lag  " + "".join(f"{cell.upper():>12}" for cell in lengths))
    for lag in (lag for lag in LAGS if lag < options.steps):
        print(f"{lag:<5}" + "".join(f"{length[lag]:>12.2e}" for length in lengths.values()))
    print("loss " + "".join(f"{losses[cell]:>12.3f}" for cell in lengths) + "   nats/char, validation")
    if options.plot:
        plot(lengths, options.plot)
        print(f"plot: {options.plot}")


if __name__ == "__main__":
    main()
