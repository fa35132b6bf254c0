"""The gain of a random network, its largest Lyapunov exponent, and the slope of its gradients (Engelken et al. 2020).

python examples/study/chaos.py
python examples/study/chaos.py --plot chaos.png        # needs the extra `plot`
"""

import argparse
from pathlib import Path

import numpy as np

import bptt
from bptt import study


def main(arguments: list[str] | None = None) -> dict[float, tuple[float, float]]:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--units", type=int, default=80)
    parser.add_argument("--plot", type=Path, help="draw both slopes into this file")
    options = parser.parse_args(arguments)
    N = options.units
    layer = bptt.RNN(1, N, dtype="float64", seed=0)
    layer.flat *= 0
    normal = np.random.default_rng(1).normal(size=(N, N)) / np.sqrt(N)
    start = np.random.default_rng(2).normal(size=(1, 1, N))
    found = {}
    print("gain   lambda_1   measured slope of log ||dl_T/dh|| by lag")
    for gain in (0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0):
        layer.parameters["weight_hh_l0"] = gain * normal
        problem = study.Problem(layer, np.zeros((300, 1, 1)), np.ones((300, 1, N)), start)
        arrays = study.lyapunov_spectrum(problem, warmup=100).arrays
        found[gain] = (float(arrays["exponents"][0]), float(arrays["slope"]))
        print(f"{gain:4}   {found[gain][0]:8.4f}   {found[gain][1]:8.4f}", flush=True)
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axis = figure.subplots()
        axis.plot(list(found), [pair[0] for pair in found.values()], "o-", label="largest Lyapunov exponent")
        axis.plot(list(found), [pair[1] for pair in found.values()], "x--", label="slope of the gradient by lag")
        axis.axhline(0, color="grey", linewidth=0.7)
        axis.set(xlabel="gain g of the weights", ylabel="per step")
        axis.legend(frameon=False)
        figure.savefig(options.plot)
    return found


if __name__ == "__main__":
    main()
