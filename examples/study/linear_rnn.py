"""The linear network h_t = w h_{t-1}: the gradient by lag is w^k, and three steps give d(w^3 x)/dw = 3 w^2 x.

python examples/study/linear_rnn.py
python examples/study/linear_rnn.py --plot linear_rnn.png        # needs the extra `plot`
"""

import argparse
from pathlib import Path

import numpy as np

import bptt
from bptt import study


def problem(w: float, steps: int, first: float) -> study.Problem:
    """One unit without inputs from the state `first`; the loss is the last output."""
    layer = bptt.RNN(1, 1, nonlinearity="identity", dtype="float64", seed=0)
    layer.flat = [0.0, w, 0.0, 0.0]
    dy = np.zeros((steps, 1, 1))
    dy[-1] = 1
    return study.Problem(layer, np.zeros((steps, 1, 1)), dy, np.full((1, 1, 1), first))


def main(arguments: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--plot", type=Path, help="draw the lag curve into this file")
    options = parser.parse_args(arguments)
    for w in (0.9, 1.1):
        print(f"w = {w}: {study.gradient_by_lag(problem(w, 60, 0.9), per='sum')!r}")
    three = problem(0.2, 3, 0.9)
    gradient = float(three.layer.backward(three.dy, three.tape).parameters["weight_hh_l0"].item())
    print(f"three steps of w = 0.2 from 0.9: {gradient:.3f}, and 3 w^2 x = {3 * 0.2**2 * 0.9:.3f}")
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        study.gradient_by_lag(problem(0.9, 60, 0.9), per="sum").plot(figure.subplots())
        figure.savefig(options.plot)
    return gradient


if __name__ == "__main__":
    main()
