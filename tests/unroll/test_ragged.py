"""Sequences of unequal lengths and states dropped on the way, through the public layers."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bptt
from bptt.network import stack
from bptt.unroll.ragged import rows_of
from bptt.unroll.sequence import CHUNK, chunk_steps, first_row
from problem import LAYERS, Problem, as_state, as_tuple, close, every_cell, every_dtype, named
from reference import ragged

small = st.tuples(
    st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 7), st.integers(1, 2), st.integers(0, 999)
)
# T, B, I, H: rows shared by threads, units shared, more than one chunk of steps on the way back.
SIZES = [(9, 13, 3, 21), (9, 7, 5, 70), (2 * chunk_steps(10_000, 5) + 3, 5, 2, 3)]


class Ragged(Problem):
    """A problem whose sequences end early, and whose states are dropped here and there."""

    def __init__(self, *arguments, lengths=True, reset=True, **options):
        super().__init__(*arguments, **options)
        T, B, _ = self.x.shape
        rng = np.random.default_rng([T, B])
        self.lengths = rng.integers(1, T + 1, B) if lengths else np.full(B, T)
        self.reset = rng.random((T, B)) < 0.3 if reset else np.zeros((T, B), bool)
        self.given = {"lengths": self.lengths} if lengths else {}
        self.given |= {"reset": self.reset} if reset else {}

    def run(self, x=None, state=None):
        x = self.x if x is None else x
        y, last, tape = self.layer.forward(x, as_state(self.state if state is None else state), **self.given)
        return y, as_tuple(last), tape

    def reference(self, dy=None, dstate=None):
        up = lambda v: v.astype(np.float64)  # noqa: E731
        parameters = {key: up(value) for key, value in self.layer.parameters.items()}
        rest = parameters, self.lengths, self.reset
        y, last, traces = ragged.forward(self.cell, up(self.x), tuple(map(up, self.state)), *rest)
        g = ragged.backward(self.cell, up(self.dy), tuple(map(up, self.dstate)), traces, *rest)
        g |= {f"state {k}": part for k, part in enumerate(g.pop("state"))}
        return y, last, g, traces

    @property
    def past(self):
        """Where no sequence is any more (T, B)."""
        return np.arange(len(self.x))[:, None] >= self.lengths


def assert_equal(got, expected):
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


@pytest.mark.interpreted
@every_cell
@every_dtype
@given(shape=small, lengths=st.booleans(), reset=st.booleans())
def test_lengths_and_resets_match_the_naive_loops(name, dtype, shape, lengths, reset):
    problem = Ragged(name, *shape, dtype=dtype, lengths=lengths, reset=reset)
    problem.check()
    y, _, tape = problem.run()
    g = problem.backward(tape)
    for values in (y, g["x"], *g["errors"]):
        assert not values[problem.past].any(), "not 0 after the end"
    for part in (g[f"state {k}"] for k in range(len(problem.state))):
        assert not part[:, problem.reset[0]].any(), "an initial state that was dropped has a gradient"


@every_cell
@every_dtype
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_larger_ones_match_the_naive_loops(name, dtype, sizes, monkeypatch):
    monkeypatch.setattr(stack, "SMALL", 0)  # all threads there are
    Ragged(name, *sizes, 2, dtype=dtype).check()


@every_cell
@pytest.mark.parametrize("num_layers", [1, 2])
def test_adjoint_identity(name, num_layers):
    # <u, J v> by a complex step through the reference, <J^T u, v> by the layer.
    problem = Ragged(name, 7, 5, 3, 9, num_layers, seed=num_layers)
    g = problem.backward(problem.run()[2])
    rng = np.random.default_rng(1)
    v = {key: rng.normal(size=value.shape) for key, value, _ in problem.places()}
    x = problem.x + 1e-30j * v["x"]
    state = tuple(part + 1e-30j * v[f"state {k}"] for k, part in enumerate(problem.state))
    parameters = {key: value + 1e-30j * v[key] for key, value in problem.layer.parameters.items()}
    y, last, _ = ragged.forward(problem.cell, x, state, parameters, problem.lengths, problem.reset)
    left = (y * problem.dy).sum() + sum((p * d).sum() for p, d in zip(last, problem.dstate, strict=True))
    terms = {key: g[key] * v[key] for key in v}
    right, size = (sum(f(term).sum() for term in terms.values()) for f in (np.asarray, np.abs))
    assert abs(left.imag / 1e-30 - right) <= 1e-13 * size


@every_cell
@pytest.mark.parametrize("num_layers", [1, 2])
def test_central_differences(name, num_layers):
    """The layer's own forward, of which no formula of the reference is a part: x, initial states, all parameters."""
    problem = Ragged(name, 6, 4, 3, 5, num_layers, seed=3)
    g = problem.backward(problem.run()[2])
    nudge = 1e-6  # no argument of relu changes its sign in between
    for key, value, loss in problem.places():
        slopes = np.empty(value.size)
        for entry in range(value.size):
            both = []
            for sign in (1, -1):
                moved = value.copy()
                moved.flat[entry] += sign * nudge
                both.append(loss(moved))
            slopes[entry] = (both[0] - both[1]) / (2 * nudge)
        np.testing.assert_allclose(slopes, g[key].ravel(), rtol=0, atol=1e-7 * max(1, np.abs(g[key]).max()))


@every_cell
@every_dtype
@pytest.mark.parametrize("num_layers", [1, 2])
def test_each_row_alone_bit_for_bit(name, dtype, num_layers):
    problem = Ragged(name, 8, 6, 3, 19, num_layers, dtype=dtype)
    y, last, tape = problem.run()
    g = problem.backward(tape)
    total = {key: np.zeros(value.shape) for key, value in problem.layer.parameters.items()}
    for b, length in enumerate(problem.lengths):
        row = slice(b, b + 1)
        state, dstate = (as_state(tuple(p[:, row] for p in s)) for s in (problem.state, problem.dstate))
        y_b, last_b, tape_b = problem.layer.forward(problem.x[:length, row], state, reset=problem.reset[:length, row])
        g_b = named(problem.layer.backward(problem.dy[:length, row], tape_b, dstate, errors="h"))
        np.testing.assert_array_equal(y[:length, row], y_b)
        np.testing.assert_array_equal(g["x"][:length, row], g_b["x"])
        np.testing.assert_array_equal(g["errors"][:, :length, row], g_b["errors"])
        for k, part in enumerate(as_tuple(last_b)):
            np.testing.assert_array_equal(last[k][:, row], part)
            np.testing.assert_array_equal(g[f"state {k}"][:, row], g_b[f"state {k}"])
        for layer, alone in zip(tape.layers, tape_b.layers, strict=True):
            np.testing.assert_array_equal(layer.h[: length + 1, row], alone.h)
            for gate, values in alone.gates.items():
                np.testing.assert_array_equal(layer.gates[gate][:length, row], values)
        for key in total:
            total[key] += g_b[key]
    for key, value in total.items():
        close(g[key], value, problem.tolerance, key)


@every_cell
@every_dtype
def test_a_reset_is_another_call_from_zero_states(name, dtype):
    """All rows at once, bit for bit; the gradients of the parameters are the sum of those of the calls."""
    problem = Ragged(name, 9, 4, 3, 11, 2, dtype=dtype, lengths=False)
    problem.reset[:] = False
    problem.reset[[3, 4, 7]] = True
    y, last, tape = problem.run()
    g = problem.backward(tape)
    total = {key: np.zeros(value.shape) for key, value in problem.layer.parameters.items()}
    for first, stop in ((0, 3), (3, 4), (4, 7), (7, 9)):
        start = as_state(problem.state) if first == 0 else None
        y_piece, last_piece, tape_piece = problem.layer.forward(problem.x[first:stop], start)
        dlast = as_state(problem.dstate) if stop == 9 else None
        g_piece = named(problem.layer.backward(problem.dy[first:stop], tape_piece, dlast, errors="h"))
        np.testing.assert_array_equal(y[first:stop], y_piece)
        np.testing.assert_array_equal(g["x"][first:stop], g_piece["x"])
        np.testing.assert_array_equal(g["errors"][:, first:stop], g_piece["errors"])
        if first == 0:
            assert_equal(g, {key: value for key, value in g_piece.items() if key.startswith("state")})
        for key in total:
            total[key] += g_piece[key]
    for part, expected in zip(last, as_tuple(last_piece), strict=True):
        np.testing.assert_array_equal(part, expected)
    for key, value in total.items():
        close(g[key], value, problem.tolerance, key)


@every_cell
@every_dtype
@pytest.mark.parametrize("sizes", SIZES[:2], ids=["rows", "units"])
@pytest.mark.parametrize("lengths", [True, False])
def test_threads_do_not_change_a_bit(name, dtype, sizes, lengths, monkeypatch):
    monkeypatch.setattr(stack, "SMALL", 0)
    problem = Ragged(name, *sizes, 2, dtype=dtype, lengths=lengths)
    results = []
    for threads in (1, 2, 3):
        bptt.set_num_threads(threads)
        y, last, tape = problem.run()
        y_called, _ = problem.layer(problem.x, as_state(problem.state), **problem.given)
        results.append([y, y_called, *last, *problem.backward(tape).values()])
    for other in results[1:]:
        for one, array in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(array, one)


@every_cell
@every_dtype
@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize(("T", "B"), [(3, 2), (chunk_steps(10_000, 3) + 5, 3), (2, CHUNK + 1)])
def test_a_call_gives_the_outputs_of_forward_bit_for_bit(name, dtype, lengths, T, B):
    problem, again = (Ragged(name, T, B, 3, 5, 2, dtype=dtype, lengths=lengths, dropout=0.5) for _ in range(2))
    y, last, _ = problem.run()
    y_called, last_called = again.layer(again.x, as_state(again.state), **again.given)
    np.testing.assert_array_equal(y_called, y)
    for part, expected in zip(as_tuple(last_called), last, strict=True):
        np.testing.assert_array_equal(part, expected)


@every_cell
def test_nothing_after_an_end_has_influence(name):
    problem = Ragged(name, 6, 5, 3, 7, 2)
    y, last, tape = problem.run()
    g = problem.backward(tape)
    problem.x[problem.past] = 1e150
    problem.dy[problem.past] = -1e150
    problem.reset |= problem.past
    y_again, last_again, tape_again = problem.run()
    np.testing.assert_array_equal(y_again, y)
    for part, expected in zip(last_again, last, strict=True):
        np.testing.assert_array_equal(part, expected)
    assert_equal(problem.backward(tape_again), g)


@every_cell
def test_equal_lengths_and_no_reset_are_the_plain_batch(name):
    problem = Problem(name, 5, 4, 3, 7, 2)
    y, last, tape = problem.run()
    for given_ in ({"lengths": [5] * 4}, {"reset": np.zeros((5, 4), bool)}):
        y_given, last_given, tape_given = problem.layer.forward(problem.x, as_state(problem.state), **given_)
        np.testing.assert_array_equal(y_given, y)
        for part, expected in zip(as_tuple(last_given), last, strict=True):
            np.testing.assert_array_equal(part, expected)
        assert_equal(problem.backward(tape_given), problem.backward(tape))
        # Nothing is copied: the tape shows what the layers wrote.
        assert np.shares_memory(tape_given.h[0], tape_given.layers[0].s)


@every_cell
@every_dtype
@pytest.mark.parametrize("lengths", [True, False])
def test_backward_leaves_the_tape_and_its_arguments_alone(name, dtype, lengths):
    problem = Ragged(name, 6, 4, 2, 5, 2, dtype=dtype, lengths=lengths)
    _, _, tape = problem.run()
    before = [(layer.s.copy(), layer.h.copy(), layer.x.copy()) for layer in tape.layers]
    state, dstate, dy = problem.state[0].copy(), problem.dstate[0].copy(), problem.dy.copy()
    first = problem.backward(tape)
    # Nor does it look at arrays that are the caller's.
    problem.reset[:] = True
    problem.lengths[:] = 1
    assert_equal(problem.backward(tape), first)
    for layer, arrays in zip(tape.layers, before, strict=True):
        for now, then in zip((layer.s, layer.h, layer.x), arrays, strict=True):
            np.testing.assert_array_equal(now, then)
    for now, then in ((problem.state[0], state), (problem.dstate[0], dstate), (problem.dy, dy)):
        np.testing.assert_array_equal(now, then)


@every_cell
def test_the_tape_shows_the_rows_of_the_batch(name):
    problem = Ragged(name, 6, 5, 2, 4, 2)
    y, last, tape = problem.run()
    for layer, h in enumerate(tape.h):
        np.testing.assert_array_equal(h[0], problem.state[0][layer])
        np.testing.assert_array_equal(h[problem.lengths, np.arange(5)], last[0][layer])
        assert not h[1:][problem.past].any()
        assert not any(gate[problem.past].any() for gate in tape.layers[layer].gates.values())
    np.testing.assert_array_equal(tape.h[1][1:], y)
    if name == "lstm":
        np.testing.assert_array_equal(tape.layers[0].c[0], problem.state[1][0])


@every_cell
def test_batch_first(name):
    problem = Ragged(name, 5, 4, 2, 7, 2)
    y, last, tape = problem.run()
    g = problem.backward(tape)
    turned = LAYERS[name](2, 7, 2, dtype="float64", batch_first=True)
    turned.load_state_dict(problem.layer.state_dict())
    x, reset, dy = (array.swapaxes(0, 1) for array in (problem.x, problem.reset, problem.dy))
    y_turned, last_turned, tape = turned.forward(x, as_state(problem.state), lengths=problem.lengths, reset=reset)
    np.testing.assert_array_equal(y_turned, y.swapaxes(0, 1))
    for part, expected in zip(as_tuple(last_turned), last, strict=True):
        np.testing.assert_array_equal(part, expected)
    g_turned = named(turned.backward(dy, tape, as_state(problem.dstate), errors="h"))
    np.testing.assert_array_equal(g_turned.pop("x"), g.pop("x").swapaxes(0, 1))
    assert_equal(g_turned, g)


@every_cell
def test_dropout_does_not_depend_on_lengths(name):
    """The same masks, whatever the order on the tape; and the way back draws them again."""
    problem, whole = (Problem(name, 6, 5, 3, 20, 2, dropout=0.4) for _ in range(2))
    lengths = np.array([2, 6, 1, 5, 3])
    past = np.arange(6)[:, None] >= lengths
    y, _, tape = problem.layer.forward(problem.x, as_state(problem.state), lengths=lengths)
    y_whole, _, tape_whole = whole.run()
    np.testing.assert_array_equal(y[~past], y_whole[~past])
    # Errors of nothing after an end: what a user of padded batches has to write.
    dy = np.where(past[..., None], 0, problem.dy)
    g, g_whole = problem.layer.backward(dy, tape), whole.layer.backward(dy, tape_whole)
    np.testing.assert_array_equal(g.x, g_whole.x)
    for key, value in g_whole.parameters.items():
        close(g.parameters[key], value, problem.tolerance, key)


@pytest.mark.interpreted
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), size=st.integers(1, 5), first=st.integers(0, 9))
def test_members_share_all_rows_and_about_the_same_number_of_steps(lengths, size, first):
    lengths = np.array(lengths)
    batch = rows_of(10, lengths.size, lengths, None)
    assert (np.diff(batch.active) <= 0).all()
    np.testing.assert_array_equal(batch.ends, np.sort(lengths)[::-1])
    np.testing.assert_array_equal(batch.to_batch_order(batch.to_tape_order(lengths, 0), 0), lengths)
    # In some chunk of steps.
    starts = [share_of(i, size, lengths.size, batch.active[first:]) for i in range(size + 1)]
    assert starts[0] == 0
    assert starts[-1] == lengths.size
    assert starts == sorted(starts)
    left = np.maximum(batch.ends - first, 0)
    work = [left[a:b].sum() for a, b in pairwise(starts)]
    # A member may have a row more than its part.
    assert max(work) <= left.sum() / size + left.max()


def share_of(*arguments):
    return getattr(first_row, "py_func", first_row)(*arguments)


@every_cell
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_what_stands_after_an_end_need_not_be_finite(name, batch_first, fill):
    problem = Ragged(name, 6, 5, 2, 4, 2, batch_first=batch_first, reset=False)
    x, dy = (np.where(problem.past[..., None], fill, array) for array in (problem.x, problem.dy))
    if batch_first:
        problem.x, problem.dy, x, dy = (array.swapaxes(0, 1) for array in (problem.x, problem.dy, x, dy))
    y, last, tape = problem.run()
    y_filled, last_filled, tape_filled = problem.run(x=x)
    np.testing.assert_array_equal(y_filled, y)
    np.testing.assert_array_equal(problem.layer(x, as_state(problem.state), **problem.given)[0], y)
    for part, expected in zip(last_filled, last, strict=True):
        np.testing.assert_array_equal(part, expected)
    assert_equal(problem.backward(tape_filled, dy), problem.backward(tape))
    first = np.unravel_index(int(np.argmax(~np.isnan(problem.x))), x.shape)
    x[first] = np.nan
    with pytest.raises(ValueError, match="x must be finite"):
        problem.run(x=x)


@every_cell
def test_masked_entries_are_refused_even_after_an_end(name):
    problem = Ragged(name, 6, 5, 2, 4, 2)
    with pytest.raises(ValueError, match="x must not have masked entries"):
        problem.run(x=np.ma.array(problem.x, mask=np.repeat(problem.past[..., None], 2, 2)))
