"""Influence balancing (Tallec & Ollivier 2017): a parameter that every short truncation pushes the wrong way.

    s' = A s + theta (1 for ten units, -1 for thirteen),    A = (1 + shift) / 2,    loss (s_1 - 1)^2 / 2

What theta does at first is undone, and more, as it wanders down the chain of 23 units: the optimum is -1/6, and the
gradient of fewer than some 43 steps has the wrong sign.

    python examples/study/influence_balancing.py
    python examples/study/influence_balancing.py --plot influence.png        # needs the extra `plot`
"""

import argparse
from pathlib import Path

import numpy as np

import bptt
from bptt import study

UNITS, STEPS = 23, 200
SIGNS = np.array([1.0] * 10 + [-1.0] * 13)[:, None]


def problem(layer: bptt.RNN, theta: float) -> study.Problem:
    """200 steps from 1; the loss of the last one."""
    layer.parameters["weight_ih_l0"] = theta * SIGNS

    def loss(y: np.ndarray) -> tuple[float, np.ndarray]:
        dy = np.zeros_like(y)
        dy[-1, 0, 0] = y[-1, 0, 0] - 1
        return float(0.5 * dy[-1, 0, 0] ** 2), dy

    return study.Problem(layer, np.ones((STEPS, 1, 1)), loss, np.ones((1, 1, UNITS)))


def by_theta(flat: np.ndarray) -> float:
    """dL/dtheta: theta is in every input weight, with its sign."""
    return float(flat[:UNITS] @ SIGNS[:, 0])


def cut_off(K: int) -> study.Estimator:
    """The last K steps alone: with a single loss at the end, the gradient of TBPTT(1, K)."""
    return study.Estimator(f"{K} steps", lambda p, rng: p.layer.backward(p.dy[-K:], p.tape[-K:]).flat, lambda p: K)


def train(layer: bptt.RNN, estimator: study.Estimator, updates: int, rate: float) -> list[float]:
    """theta after every update; ends where it has run away."""
    rng, course = np.random.default_rng(0), [0.5]
    while len(course) <= updates and abs(course[-1]) < 10:
        course.append(course[-1] - rate * by_theta(estimator(problem(layer, course[-1]), rng)))
    return course


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--plot", type=Path, help="draw the courses into this file")
    options = parser.parse_args(arguments)
    layer = bptt.RNN(1, UNITS, nonlinearity="identity", dtype="float64", seed=0)
    layer.flat *= 0
    layer.parameters["weight_hh_l0"] = 0.5 * np.eye(UNITS) + 0.5 * np.eye(UNITS, k=1)

    start = problem(layer, 0.5)
    whole = by_theta(start.gradient())
    print("relative bias of the gradient cut off after K steps")
    for K in (1, 10, 20, 30, 40, 45, 50, 60):
        bias = by_theta(start.layer.backward(start.dy[-K:], start.tape[-K:]).flat) / whole - 1
        print(f"  K = {K:3}: {bias:9.3f}" + ("   the wrong sign" if bias < -1 else ""))

    courses = {"bptt": train(layer, study.bptt(), options.updates, 1e-2)}
    for K in (10, 20, 30, 50, 100):
        courses[f"{K} steps"] = train(layer, cut_off(K), options.updates, 1e-2)
    courses["artbp(40)"] = train(layer, study.artbp(40), options.updates, 1e-3)
    print(f"theta after {options.updates} updates; the optimum is {-1 / 6:.6f}")
    for name, course in courses.items():
        print(f"  {name:10} {course[-1]:10.6f}" + ("   diverged" if abs(course[-1]) >= 10 else ""))
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axis = figure.subplots()
        for name, course in courses.items():
            axis.plot(course, label=name)
        axis.axhline(-1 / 6, color="grey", linewidth=0.7)
        axis.set(xlabel="update", ylabel="theta", ylim=(-1, 3))
        axis.legend(frameon=False)
        figure.savefig(options.plot)
    return {name: course[-1] for name, course in courses.items()}


if __name__ == "__main__":
    main()
