"""Bounded memory: plans against the recursion that they solve, gradients against those of a full tape."""

import functools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt import RNN
from bptt.network import checkpoints
from bptt.network.checkpoints import Sizes, forward_units, plan, split
from problem import Problem, as_state, as_tuple, every_cell


@functools.cache
def least_work(n, slots):
    """The recursion of Gruslys et al. (2016), by trying every y."""
    if n == 1:
        return 1
    if slots == 0:
        return n * (n + 1) // 2
    return min(y + least_work(n - y, slots - 1) + least_work(y, slots) for y in range(1, n))


@pytest.mark.parametrize("slots", range(7))
def test_the_closed_form_and_the_split_solve_the_recursion(slots):
    for n in range(1, 60):
        assert forward_units(n, slots) == least_work(n, slots)
        if n > 1 and slots > 0:
            y = split(n, slots)
            assert y + least_work(n - y, slots - 1) + least_work(y, slots) == least_work(n, slots)


@given(
    steps=st.integers(1, 5000),
    chunk=st.integers(1, 400),
    state=st.integers(1, 50),
    gates=st.integers(1, 200),
    share=st.floats(0.01, 1.5),
)
@settings(deadline=None)
def test_plans_keep_to_their_memory(steps, chunk, state, gates, share):
    sizes = Sizes(steps, min(chunk, steps), state, state + gates)
    least = min(chunk, steps) * sizes.step + 2 * state
    made = plan(sizes, max(least, int(share * steps * sizes.step)))
    assert made.bytes <= max(least, int(share * steps * sizes.step))
    assert steps <= made.forward_steps
    assert made.start(made.units) == steps
    assert made.start(0) == 0
    assert all(
        0 < made.start(unit + 1) - made.start(unit) <= made.unit and (steps - made.start(unit + 1)) % sizes.chunk == 0
        for unit in range(made.units)
    )
    with pytest.raises(ValueError, match=f"memory must be at least {least} bytes"):
        plan(sizes, least - 1)


def test_the_published_point():
    """Gruslys et al. (2016): 1000 steps in 5% of the memory, with about one third more time.

    Forward once more is a third of forward and backward, whose products are twice as many.
    """
    full = 1000 * 6 + 2  # an LSTM: two states, four gates
    made = plan(Sizes(1000, 1, 2, 6), full * 5 // 100)
    assert made.bytes <= 0.05 * full
    extra = (made.forward_steps - 1000) / 3000
    assert extra < 0.4


compiled = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="many steps: minutes uncompiled")


@compiled
@every_cell
@pytest.mark.parametrize("memory", ["sqrt", 0.02, 0.2])
@pytest.mark.parametrize("options", [{}, {"L": 2, "ragged": True}, {"L": 2, "dropout": 0.3}, {"batch_first": True}])
def test_the_same_bits_as_from_a_full_tape(name, memory, options):
    options = dict(options)
    T, B, L = 97, 40, options.pop("L", 1)
    rng = np.random.default_rng(3)
    given = {}
    if options.pop("ragged", False):
        given = {"lengths": rng.integers(1, T + 1, B), "reset": rng.random((T, B)) < 0.02}
    problem = Problem(name, T, B, 3, 5, L, dtype="float32", **options)
    other = Problem(name, T, B, 3, 5, L, dtype="float32", **options)
    if name in ("rnn_relu", "rnn_identity"):  # else its values overflow
        for layer in (problem.layer, other.layer):
            layer.flat *= 0.3
    x, dy = (v.swapaxes(0, 1) if options.get("batch_first") else v for v in (problem.x, problem.dy))
    y, last, tape = problem.layer.forward(x, as_state(problem.state), **given)
    if memory != "sqrt":
        sizes = problem.layer._checkpoint_sizes(T, B)
        memory = max(int(memory * T * sizes.step), sizes.chunk * sizes.step + 2 * sizes.state)
    y_again, last_again, bounded = other.layer.forward(x, as_state(problem.state), **given, memory=memory)
    np.testing.assert_array_equal(y_again, y)
    for part, expected in zip(as_tuple(last_again), as_tuple(last), strict=True):
        np.testing.assert_array_equal(part, expected)
    ways = {"errors": ("a", *tape.cell.states)}, {"clip_step": ("norm", 0.5)}
    for way in ways:
        expected = problem.layer.backward(dy, tape, as_state(problem.dstate), **way)
        for _ in range(2):  # the tape is not changed
            g = other.layer.backward(dy, bounded, as_state(problem.dstate), **way)
            np.testing.assert_array_equal(g.flat, expected.flat)
            np.testing.assert_array_equal(g.x, expected.x)
            for part, part_expected in zip(as_tuple(g.state), as_tuple(expected.state), strict=True):
                np.testing.assert_array_equal(part, part_expected)
            for key, array in expected.errors.items():
                np.testing.assert_array_equal(g.errors[key], array)
            if expected.clipped is not None:
                np.testing.assert_array_equal(g.clipped, expected.clipped)
    assert np.abs(expected.flat).max() > 0


@compiled
def test_no_more_steps_are_run_than_planned(monkeypatch):
    problem = Problem("lstm", 600, 96, 3, 4, 1)
    sizes = problem.layer._checkpoint_sizes(600, 96)
    counted = []
    run = problem.layer._run_forward
    monkeypatch.setattr(
        problem.layer, "_run_forward", lambda x, *rest, **options: counted.append(len(x)) or run(x, *rest, **options)
    )
    for slots in (0, 1, 3, 10):
        memory = sizes.chunk * sizes.step + (2 + slots) * sizes.state
        counted.clear()
        y, _, tape = problem.layer.forward(problem.x, memory=memory)
        assert tape.nbytes <= memory
        problem.layer.backward(y, tape)
        assert 0.98 * tape.plan.forward_steps * 96 <= sum(counted) <= tape.plan.forward_steps * 96, tape.plan
        if 600 % tape.plan.unit == 0:
            assert sum(counted) == tape.plan.forward_steps * 96


def test_what_does_not_fit_is_refused():
    layer, other = RNN(2, 3, seed=0), RNN(2, 3, seed=0)
    x = np.ones((500, 4, 2), "float32")
    with pytest.raises(ValueError, match=r"memory must be at least \d+ bytes for these sizes, a tape of 96 steps"):
        layer.forward(x, memory=10)
    with pytest.raises(ValueError, match=r"memory must be .*'sqrt'"):
        layer.forward(x, memory="half")
    with pytest.raises(TypeError, match="memory"):
        layer.forward(x, memory=1.5)
    _, _, tape = layer.forward(x, memory="sqrt")
    with pytest.raises(ValueError, match="another layer's, CheckpointedTape"):
        other.backward(None, tape)
    layer.flat *= 2
    with pytest.raises(RuntimeError, match="have changed since the forward"):
        layer.backward(None, tape)
    assert checkpoints.plan(Sizes(1, 1, 2, 6), "sqrt").units == 1
