"""The adding problem (Hochreiter & Schmidhuber 1997): of T random numbers two are marked; their sum is the answer.

An LSTM has to carry the first number over up to T steps. Always answering 1 has a mean squared error of 1/6 = 0.167.

    python examples/adding_problem.py                  # about a minute; prints the validation error of each epoch
    python examples/adding_problem.py --steps 50 --epochs 5
"""

import argparse

import numpy as np

import bptt


def sequences(rng: np.random.Generator, steps: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """x (steps, count, 2): numbers and marks, one mark in each half; the sums (count, 1)."""
    x = np.zeros((steps, count, 2), "float32")
    x[:, :, 0] = rng.uniform(0, 1, (steps, count))
    for half in (rng.integers(0, steps // 2, count), rng.integers(steps // 2, steps, count)):
        x[half, np.arange(count), 1] = 1
    return x, (x[:, :, 0] * x[:, :, 1]).sum(0)[:, None]


def main(arguments: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=25)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    model = bptt.Sequential(
        bptt.LSTM(2, 64, init="orthogonal", seed=0), bptt.LastStep(), bptt.Linear(64, 1, seed=1)
    )  # fmt: skip
    history = bptt.train(
        model,
        lambda epoch: [sequences(rng, options.steps, 50) for _ in range(100)],
        bptt.mse_loss,
        epochs=options.epochs,
        learning_rate=5e-3,
        clip_norm=1.0,
        validation=[sequences(np.random.default_rng(1), options.steps, 500)],
        progress=False,
        callback=lambda row: print(f"epoch {row['epoch']:2}: validation {row['validation_loss']:.4f}", flush=True),
    )
    best = float(history["validation_loss"].min())
    print(f"best mean squared error {best:.4f}; always answering 1 has 0.1667")
    return best


if __name__ == "__main__":
    main()
