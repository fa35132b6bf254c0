"""Tasks whose best losses are known: what has been learned can be read off the loss.

A task draws sequences, has a loss, and knows its plateaus: the losses of those who know nothing, a part, or everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt import arguments
from bptt.losses import cross_entropy, mse_loss

__all__ = ["Task", "adding", "copy_memory", "delayed_echo", "parity", "two_lags"]


@dataclass(frozen=True)
class Task:
    """Sequences with a loss of known plateaus; `adding`, `copy_memory` and others make one.

    Attributes
    ----------
    name : str
    inputs, outputs : int
        Features of x, and numbers that the network has to put out at each step: values or logits.
    plateaus : dict of str to float
        What a predictor knows, and its loss; the first knows nothing, the last everything.
    """

    name: str
    inputs: int
    outputs: int
    plateaus: dict[str, float]
    _draw: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
    _loss: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]

    def __repr__(self) -> str:
        return f"{self.name}: " + ", ".join(f"{what} {loss:.4f}" for what, loss in self.plateaus.items())

    def draw(self, batch_size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """x (T, batch_size, inputs) in float64, and what `loss` compares the outputs with."""
        return self._draw(arguments.integer("batch_size", batch_size), rng)

    def loss(self, y_hat: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean loss of outputs (T, B, outputs), and its derivative by them."""
        return self._loss(y_hat, target)

    def verdict(self, loss: float) -> str:
        """What a loss says, in words.

        Examples
        --------
        >>> from bptt import study
        >>> study.tasks.adding(100).verdict(0.16)
        'adding(100): 0.1600 is that of one who knows nothing (0.1667); everything would be 0.0000'
        """
        loss = arguments.real("loss", loss, 0.0)
        names, losses = list(self.plateaus), list(self.plateaus.values())
        best, worst = losses[-1], losses[0]
        near = 0.05 * (worst - best)
        if loss > worst + near:
            return f"{self.name}: {loss:.4f} is worse than knowing nothing ({worst:.4f})"
        if loss < best + near:
            return f"{self.name}: {loss:.4f} is solved ({best:.4f} is the best possible)"
        for name, plateau in self.plateaus.items():
            if abs(loss - plateau) <= near:
                return (
                    f"{self.name}: {loss:.4f} is that of one who knows {name} ({plateau:.4f}); "
                    f"everything would be {best:.4f}"
                )
        above = max(k for k, plateau in enumerate(losses) if plateau >= loss)
        return (
            f"{self.name}: {loss:.4f} is between {names[above]} ({losses[above]:.4f}) and {names[above + 1]} "
            f"({losses[above + 1]:.4f})"
        )


def entropy(p: Any) -> float:
    """The mean entropy of coins that fall with probability p, in nats."""
    p = np.asarray(p, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(-(np.where(p > 0, p * np.log(p), 0) + np.where(p < 1, (1 - p) * np.log(1 - p), 0)).mean())


def classes(y_hat: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross-entropy over the steps with a target, those of at least 0."""
    counted = target >= 0
    if counted.all():
        return cross_entropy(y_hat, target)
    value, dz = cross_entropy(y_hat[counted], target[counted])
    dy = np.zeros_like(y_hat)
    dy[counted] = dz
    return value, dy


def adding(steps: int) -> Task:
    """The sum of two marked numbers of U[0, 1], one in each half (Hochreiter & Schmidhuber 1997); asked at the end.

    The mean squared error of always answering 1 is 1/6. Targets are (batch, 1), for the last step's output.
    """
    T = arguments.integer("steps", steps, 2)

    def draw(batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = np.zeros((T, batch, 2))
        x[:, :, 0] = rng.random((T, batch))
        for half in (rng.integers(0, T // 2, batch), rng.integers(T // 2, T, batch)):
            x[half, np.arange(batch), 1] = 1
        return x, (x[:, :, 0] * x[:, :, 1]).sum(axis=0)[:, None]

    def loss(y_hat: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        value, last = mse_loss(y_hat[-1], target.astype(y_hat.dtype))
        dy = np.zeros_like(y_hat)
        dy[-1] = last
        return value, dy

    return Task(f"adding({T})", 2, 1, {"nothing": 1 / 6, "everything": 0.0}, draw, loss)


def copy_memory(blanks: int, symbols: int = 10, kinds: int = 8) -> Task:
    """Symbols, blanks, a sign, and the symbols again (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016).

    `blanks + 2 * symbols` steps. Who answers blank at first and then at random has a cross-entropy of
    symbols * ln(kinds) / (blanks + 2 * symbols).
    """
    T, n, K = (
        arguments.integer(name, value) for name, value in (("blanks", blanks), ("symbols", symbols), ("kinds", kinds))
    )
    steps = T + 2 * n

    def draw(batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        given = rng.integers(1, K + 1, (n, batch))
        seen, target = np.zeros((steps, batch), np.int64), np.zeros((steps, batch), np.int64)
        seen[:n], target[-n:] = given, given
        seen[T + n - 1 :] = K + 1
        return np.eye(K + 2)[seen], target

    baseline = n * np.log(K) / steps
    return Task(f"copy_memory({T})", K + 2, K + 2, {"nothing": baseline, "everything": 0.0}, draw, classes)


def two_lags(first: int, second: int, steps: int) -> Task:
    """Coins whose bias hangs on the inputs of two earlier steps (Pitis 2016; Marschall et al. 2020).

    x is a fair coin, y is 1 with probability .5 + .5 x[t - first] - .25 x[t - second]. The cross-entropy tells which of
    the two lags has been learned: .6616 none, .6277 the second, .5192 the first, .4545 both. The steps that lack
    one of them are not counted.
    """
    one, two, T = (
        arguments.integer(name, value) for name, value in (("first", first), ("second", second), ("steps", steps))
    )
    if max(one, two) >= T or one == two:
        raise ValueError(f"first and second must differ and be below steps; got {one}, {two} and {T}")
    p = np.array([[0.5 + 0.5 * i - 0.25 * j for j in (0, 1)] for i in (0, 1)])

    def draw(batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.integers(0, 2, (T, batch))
        target = np.full((T, batch), -1)
        start = max(one, two)
        chance = p[x[start - one : T - one], x[start - two : T - two]]
        target[start:] = rng.random(chance.shape) < chance
        return np.eye(2)[x], target

    plateaus = {
        "nothing": entropy(p.mean()),
        "the second lag": entropy(p.mean(axis=0)),
        "the first lag": entropy(p.mean(axis=1)),
        "both lags": entropy(p),
    }
    return Task(f"two_lags({one}, {two})", 2, 2, plateaus, draw, classes)


def delayed_echo(delay: int, steps: int) -> Task:
    """The coin of `delay` steps before; not counted before there is one. Nothing known: ln 2."""
    d, T = arguments.integer("delay", delay), arguments.integer("steps", steps)
    if d >= T:
        raise ValueError(f"delay must be below steps; got {d} and {T}")

    def draw(batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.integers(0, 2, (T, batch))
        target = np.full((T, batch), -1)
        target[d:] = x[: T - d]
        return np.eye(2)[x], target

    return Task(f"delayed_echo({d})", 2, 2, {"nothing": float(np.log(2)), "everything": 0.0}, draw, classes)


def parity(steps: int) -> Task:
    """Whether the number of ones so far is odd, at every step. Who sees the newest coin alone: ln 2, but for step 0."""
    T = arguments.integer("steps", steps)

    def draw(batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.integers(0, 2, (T, batch))
        return np.eye(2)[x], np.cumsum(x, axis=0) % 2

    return Task(f"parity({T})", 2, 2, {"nothing": float(np.log(2)), "everything": 0.0}, draw, classes)
