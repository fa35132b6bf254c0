"""What `test_vector_lengths.py` has processes of other vector lengths run: the results, against plain NumPy.

The products of `memory_cases.py` run there as well, between guard pages.
"""

import numpy as np

import memory_cases
from bptt.numerics import activations, simd
from bptt.numerics.jit import kernel
from bptt.numerics.simd import lane_count, load, store
from guarded import serve
from problem import Problem

ONE = (0,)


def is_compiled_for(bits, fused):
    """Whether this process took up what its environment says."""
    assert (simd.BITS, simd.FUSED) == (bits, fused), f"{simd.BITS} bits, fused: {simd.FUSED}"


@kernel
def on_lanes(x, out):
    """tanh, sigmoid and relu on vector registers, as the cells have them."""
    for j in range(0, x.shape[1], lane_count(x)):
        left = x.shape[1] - j
        (value,) = load(x, 0, ONE, 0, j, left)
        results = (activations.tanh(value), activations.sigmoid(value), activations.relu(value))
        store(out, 0, results, x.shape[1], j, left)


@kernel
def one_by_one(x, out):
    """The same and exp and softplus in loops of numbers."""
    for j in range(x.shape[1]):
        out[0, j] = activations.tanh(x[0, j])
        out[1, j] = activations.sigmoid(x[0, j])
        out[2, j] = activations.relu(x[0, j])
        out[3, j] = activations.exp(x[0, j])
        out[4, j] = activations.softplus(x[0, j])


def nonlinearities(dtype):
    """Errors as small as `test_activations.py` demands of the machine's own vectors, in units of the last place."""
    rng, eps = np.random.default_rng(0), float(np.finfo(dtype).eps)
    highest = {"float32": 87.0, "float64": 708.0}[dtype]
    spread = 10.0 ** rng.uniform(-30, np.log10(highest), 2000) * rng.choice([-1, 1], 2000)
    x = np.concatenate([rng.normal(0, 2, 2001), spread, [0.0, -0.0]]).astype(dtype)[None]
    vectors, numbers = np.empty((1, 3 * x.size), dtype), np.empty((5, x.size), dtype)
    on_lanes(x, vectors)
    one_by_one(x, numbers)
    wide = x[0].astype(np.longdouble)
    expected = (
        np.tanh(wide), 1 / (1 + np.exp(-wide)), np.maximum(wide, 0), np.exp(wide),
        np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide))),
    )  # fmt: skip
    bounds = {"tanh": (1.8, 0), "sigmoid": (1.4, 0), "relu": (0, 0), "exp": (0, 3.4), "softplus": (0, 3.6)}
    for k, (name, (absolute, relative)) in enumerate(bounds.items()):
        for label, rows in (("lanes", vectors.reshape(3, -1)), ("numbers", numbers)):
            if k < len(rows):
                error = np.abs(rows[k] - expected[k]) - relative * eps * np.abs(expected[k])
                worst = np.argmax(error)
                assert error[worst] <= absolute * eps, (
                    f"{name} of {label} at {x[0, worst]!r}: {rows[k, worst]!r}, not {expected[k][worst]!r}: "
                    f"{float(np.abs(rows[k, worst] - expected[k][worst])) / eps:.2f} eps"
                )
    for value in (np.nan, np.inf, -np.inf):
        whole = np.full((1, 37), value, dtype)
        out = np.empty((1, 3 * 37), dtype)
        on_lanes(whole, out)
        limits = np.repeat(np.array([np.tanh(value), 1 / (1 + np.exp(-value)), np.maximum(value, 0)], dtype), 37)
        np.testing.assert_array_equal(out[0], limits)


def layer(name, dtype, sizes):
    """A stack of layers forward and backward against the naive loops."""
    problem = Problem(name, *sizes, dtype=dtype)
    problem.check()


if __name__ == "__main__":
    shared = ("product", "pack", "transposed_products", "cell", "passes")
    mine = {function.__name__: function for function in (is_compiled_for, nonlinearities, layer)}
    serve({name: getattr(memory_cases, name) for name in shared} | mine)
