"""`check_cell` passes an honest cell and catches every sabotaged one."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bptt.cells import table
from bptt.testing import check_cell
from reference import REFERENCES

SIZES = [(5, 3, 4, 7)]


def scaled_block(block, factor):
    """The derivative of one gate is off by a factor."""

    def backward(kind, n, first, last, ds, s_prev, s, a, da):
        honest_backward(kind, n, first, last, ds, s_prev, s, a, da)
        da[:, block * n : (block + 1) * n] *= factor

    return {"backward": backward}


def lost_direct_part():
    """The error of the old state that does not pass through the product is forgotten."""

    def backward(kind, n, first, last, ds, s_prev, s, a, da):
        honest_backward(kind, n, first, last, ds, s_prev, s, a, da)
        ds[:] = 0

    return {"backward": backward}


def swallowed_nan():
    def forward(kind, n, first, last, a, s_prev, s):
        honest_forward(kind, n, first, last, a, s_prev, s)
        s[:] = np.nan_to_num(s)

    return {"forward": forward}


def another_activation():
    """Forward and backward agree in nothing but their bugs: the reference must notice."""

    def forward(kind, n, first, last, a, s_prev, s):
        honest_forward(kind, n, first, last, a, s_prev, s)
        s *= 1 + 1e-9

    return {"forward": forward}


honest_forward, honest_backward = table.forward, table.backward


def sabotages(cell):
    for block, name in enumerate(cell.blocks):
        yield f"the derivative of {name} is zero", scaled_block(block, 0)
        yield f"the derivative of {name} is off by 1e-9", scaled_block(block, 1 + 1e-9)
    yield "NaN is swallowed", swallowed_nan()
    yield "the values are off by 1e-9", another_activation()
    if cell.name in ("gru", "lstm"):
        yield "the direct part is lost", lost_direct_part()


def run_sabotages():
    """Prints what `check_cell` says of each sabotage; runs interpreted, where a function is easily replaced."""
    for cell in table.CELLS.values():
        check_cell(cell, REFERENCES[cell.name], sizes=SIZES)
        for what, replaced in sabotages(cell):
            vars(table).update(replaced)
            try:
                check_cell(cell, REFERENCES[cell.name], sizes=SIZES, dtypes=["float64"])
                print(f"{cell.name} | {what} | passed")
            except AssertionError as error:
                print(f"{cell.name} | {what} | {error}")
            finally:
                table.forward, table.backward = honest_forward, honest_backward


def test_every_sabotage_is_caught():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import test_testing; test_testing.run_sabotages()"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    verdicts = [line.split(" | ") for line in ran.stdout.splitlines()]
    expected = [(cell.name, what) for cell in table.CELLS.values() for what, _ in sabotages(cell)]
    assert [(cell, what) for cell, what, _ in verdicts] == expected
    for cell, what, verdict in verdicts:
        assert verdict.startswith(f"cell {cell!r}, check "), f"{cell}: {what}: {verdict}"
        if "derivative" in what or "direct" in what:
            assert "gradient" in verdict, verdict
        if "NaN" in what:
            assert "NaN in bias_ih" in verdict, verdict


class Wrong:
    """A reference whose gradient of one parameter is not the derivative of its own forward pass."""

    def __init__(self, honest, parameter):
        self.honest, self.parameter = honest, parameter

    def forward(self, *arguments):
        return self.honest.forward(*arguments)

    def backward(self, *arguments):
        g = self.honest.backward(*arguments)
        return g | {self.parameter: g[self.parameter] * (1 + 1e-9)}


@pytest.mark.parametrize("parameter", ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "x"])
def test_the_message_names_cell_check_and_quantity(parameter):
    with pytest.raises(AssertionError, match=f"'gru', check 'reference gradients at T=5.*gradient of {parameter}"):
        check_cell(table.CELLS["gru"], Wrong(REFERENCES["gru"], parameter), sizes=SIZES, dtypes=["float64"])


def test_a_reference_of_another_cell_is_told_apart():
    with pytest.raises(AssertionError, match="'rnn_relu', check 'reference values"):
        check_cell(table.CELLS["rnn_relu"], REFERENCES["rnn_tanh"], sizes=SIZES)
