"""What the public layers add to their cells: stacking, dropout, the tape, views, initial values."""

import numpy as np
import pytest

import bptt
from bptt.unroll.sequence import CHUNK, chunk_steps
from problem import LAYERS, Problem, as_state, as_tuple, close, every_cell, every_dtype, named
from reference import REFERENCES, stack


@every_cell
@every_dtype
def test_absent_state_is_zero(name, dtype):
    problem = Problem(name, 4, 3, 2, 5, 2, dtype=dtype)
    y, last, tape = problem.layer.forward(problem.x)
    expected = problem.run(state=tuple(np.zeros_like(part) for part in problem.state))
    np.testing.assert_array_equal(y, expected[0])
    for part, part_expected in zip(as_tuple(last), expected[1], strict=True):
        np.testing.assert_array_equal(part, part_expected)
    np.testing.assert_array_equal(tape.h[0][0], 0)


@every_cell
@every_dtype
@pytest.mark.parametrize(("T", "B"), [(3, 2), (chunk_steps(10_000, 3) + 5, 3), (2, CHUNK + 1)])
def test_a_call_gives_the_outputs_of_forward_bit_for_bit(name, dtype, T, B):
    """It keeps the states of a chunk of steps only, here of less than T, and draws the same dropout masks."""
    problem = Problem(name, T, B, 3, 5, 2, dtype=dtype, dropout=0.5)
    again = Problem(name, T, B, 3, 5, 2, dtype=dtype, dropout=0.5)
    for _ in range(2):
        y, last, _ = problem.run()
        y_called, last_called = again.layer(again.x, as_state(again.state))
        np.testing.assert_array_equal(y, y_called)
        for part, part_called in zip(as_tuple(last), as_tuple(last_called), strict=True):
            np.testing.assert_array_equal(part, part_called)


@every_cell
@every_dtype
def test_stacked_layers_are_single_layers_by_hand(name, dtype):
    problem = Problem(name, 5, 4, 3, 11, 3, dtype=dtype)
    y, last, tape = problem.run()
    g = problem.backward(tape)
    singles, x = [], problem.x
    for l in range(3):
        single = LAYERS[name](x.shape[2], 11, dtype=dtype)
        single.load_state_dict({f"{key}_l0": problem.layer.parameters[f"{key}_l{l}"] for key in stack.PARAMETERS})
        start = as_state(tuple(part[l : l + 1] for part in problem.state))
        x, stop, single_tape = single.forward(x, start)
        for part, expected in zip(as_tuple(stop), last, strict=True):
            np.testing.assert_array_equal(part[0], expected[l])
        singles.append((single, single_tape))
    np.testing.assert_array_equal(x, y)
    dy = problem.dy
    for l in reversed(range(3)):
        single, single_tape = singles[l]
        g_l = single.backward(dy, single_tape, as_state(tuple(part[l : l + 1] for part in problem.dstate)), errors="h")
        for key in stack.PARAMETERS:
            np.testing.assert_array_equal(g_l.parameters[f"{key}_l0"], g[f"{key}_l{l}"])
        np.testing.assert_array_equal(g_l.errors["h"][0], g["errors"][l])
        dy = g_l.x
    np.testing.assert_array_equal(dy, g["x"])


@every_cell
@every_dtype
def test_the_tape_shows_states_and_gates(name, dtype):
    problem = Problem(name, 4, 3, 2, 5, 2, dtype=dtype)
    y, last, tape = problem.run()
    _, _, _, traces = problem.reference()
    np.testing.assert_array_equal(tape.h[1][1:], y)
    gates = {
        "gru": {"n_x": "n", "r": "r", "z": "z", "n_h": "u"},
        "lstm": dict(zip("ifgo", "ifgo", strict=True)),
    }
    for l, trace in enumerate(traces):
        seen = tape.layers[l]
        np.testing.assert_array_equal(seen.h[0], problem.state[0][l])
        np.testing.assert_array_equal(seen.h[-1], last[0][l])
        for block, field in gates.get(name, {}).items():
            expected = np.array([getattr(step, field) for step in trace])
            close(seen.gates[block], expected, problem.tolerance, f"gate {block}")
        if name == "lstm":
            close(seen.c[1:], np.array([step.c for step in trace]), problem.tolerance, "c")
            np.testing.assert_array_equal(seen.c[0], problem.state[1][l])
        else:
            with pytest.raises(AttributeError, match="no c"):
                _ = seen.c


@every_cell
@every_dtype
def test_backward_leaves_the_tape_and_its_arguments_alone(name, dtype):
    problem = Problem(name, 4, 3, 2, 5, 2, dtype=dtype)
    x, dy = problem.x.copy(), problem.dy.copy()
    state, dstate = (tuple(part.copy() for part in s) for s in (problem.state, problem.dstate))
    _, _, tape = problem.run()
    gates = [{key: gate.copy() for key, gate in layer.gates.items()} for layer in tape.layers]
    first = problem.backward(tape)
    second = problem.backward(tape)
    for key, value in first.items():
        np.testing.assert_array_equal(second[key], value, err_msg=key)
        assert not np.shares_memory(second[key], value), key
    for layer, before in zip(tape.layers, gates, strict=True):
        for key, gate in layer.gates.items():
            np.testing.assert_array_equal(gate, before[key])
    np.testing.assert_array_equal(problem.x, x)
    np.testing.assert_array_equal(problem.dy, dy)
    for now, before in zip(problem.state + problem.dstate, state + dstate, strict=True):
        np.testing.assert_array_equal(now, before)


@every_cell
def test_the_tape_outlives_its_inputs(name):
    problem = Problem(name, 4, 3, 2, 5, 1)
    _, _, tape = problem.run()
    expected = problem.backward(tape)
    again = Problem(name, 4, 3, 2, 5, 1)
    y, last, tape = again.run()
    y.fill(7)
    for part in last:
        part.fill(7)
    for key, value in again.backward(tape).items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


@every_cell
@every_dtype
def test_threads_do_not_change_a_bit(name, dtype):
    problem = Problem(name, 9, 13, 6, 37, 2, dtype=dtype)
    results = []
    for threads in (1, 2, 3):
        bptt.set_num_threads(threads)
        y, last, tape = problem.run()
        results.append([y, *last, *problem.backward(tape).values()])
    for other in results[1:]:
        for one, array in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(array, one)


@every_cell
@every_dtype
def test_batch_first(name, dtype):
    problem = Problem(name, 5, 3, 2, 7, 2, dtype=dtype)
    y, last, tape = problem.run()
    g = problem.backward(tape)
    turned = LAYERS[name](2, 7, 2, dtype=dtype, batch_first=True)
    turned.load_state_dict(problem.layer.state_dict())
    y_turned, last_turned, tape_turned = turned.forward(problem.x.swapaxes(0, 1), as_state(problem.state))
    np.testing.assert_array_equal(y_turned, y.swapaxes(0, 1))
    for part, expected in zip(as_tuple(last_turned), last, strict=True):
        np.testing.assert_array_equal(part, expected)
    g_turned = named(turned.backward(problem.dy.swapaxes(0, 1), tape_turned, as_state(problem.dstate), errors="h"))
    np.testing.assert_array_equal(g_turned.pop("x"), g["x"].swapaxes(0, 1))
    for key, value in g_turned.items():
        np.testing.assert_array_equal(value, g[key], err_msg=key)


@every_cell
def test_call_is_forward_without_its_tape(name):
    problem = Problem(name, 4, 2, 3, 5, 2)
    y, last, _ = problem.run()
    y_called, last_called = problem.layer(problem.x, as_state(problem.state))
    np.testing.assert_array_equal(y_called, y)
    for part, expected in zip(as_tuple(last_called), last, strict=True):
        np.testing.assert_array_equal(part, expected)


@every_cell
@every_dtype
def test_strided_inputs(name, dtype):
    problem = Problem(name, 4, 3, 2, 5, 1, dtype=dtype)
    y, _, tape = problem.run()
    wide = np.zeros((8, 3, 4), dtype)
    wide[::2, :, ::2] = problem.x
    np.testing.assert_array_equal(problem.run(x=wide[::2, :, ::2])[0], y)
    np.testing.assert_array_equal(problem.run(x=np.asfortranarray(problem.x))[0], y)
    expected = problem.backward(tape)
    turned = problem.backward(tape, np.asfortranarray(problem.dy), tuple(np.asfortranarray(d) for d in problem.dstate))
    for key, value in turned.items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


@every_cell
def test_dropout_between_layers(name):
    problem = Problem(name, 6, 4, 3, 40, 2, seed=1)
    layer = problem.layer
    plain, _, _ = problem.run()
    dropped = LAYERS[name](3, 40, 2, dtype="float64", dropout=0.3, seed=5)
    dropped.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(dropped.eval()(problem.x, as_state(problem.state))[0], plain)

    dropped.train()
    y, _, tape = dropped.forward(problem.x, as_state(problem.state))
    h, seen = tape.h[0][1:], tape.layers[1].x.reshape(6, 4, -1)[:, :, :40]
    # Every input of layer 1 is the output of layer 0 divided by 0.7, or nothing (three in ten).
    mask = np.isclose(seen, h / 0.7, rtol=1e-14) & (h != 0)
    assert np.all(mask | (seen == 0))
    share = 1 - mask[h != 0].mean()
    assert abs(share - 0.3) < 5 * np.sqrt(0.3 * 0.7 / np.count_nonzero(h))

    # With that mask the layers are two single ones, and so are their gradients.
    g = dropped.backward(problem.dy, tape, as_state(problem.dstate), errors="h")
    weights = [tuple(v.copy() for v in stack.weights_of(layer.parameters, l)) for l in range(2)]
    start, stop = ([tuple(part[l] for part in s) for l in range(2)] for s in (problem.state, problem.dstate))
    h_0, _, trace_0 = problem.cell.forward(problem.x, start[0], *weights[0])
    y_1, _, trace_1 = problem.cell.forward(h_0 * mask / 0.7, start[1], *weights[1])
    close(y, y_1, 1e-12, "y")
    g_1 = problem.cell.backward(problem.dy, stop[1], trace_1, *weights[1])
    g_0 = problem.cell.backward(g_1["x"] * mask / 0.7, stop[0], trace_0, *weights[0])
    close(g.x, g_0["x"], 1e-12, "dx")
    for l, expected in enumerate((g_0, g_1)):
        # Where relu's output is 0 nobody can tell its mask, and nothing depends on it but the error itself.
        seen = (h != 0) | (l == 1)
        close(g.errors["h"][l] * seen, expected["errors"] * seen, 1e-12, f"errors of layer {l}")
        for key in stack.PARAMETERS:
            close(g.parameters[f"{key}_l{l}"], expected[key], 1e-12, f"{key}_l{l}")

    # Another pass draws another mask; the same seed from the start draws the same ones.
    y_next, _, _ = dropped.forward(problem.x, as_state(problem.state))
    assert np.abs(y_next - y).max() > 1e-3
    again = LAYERS[name](3, 40, 2, dtype="float64", dropout=0.3, seed=5)
    again.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(again.forward(problem.x, as_state(problem.state))[0], y)


@every_cell
@every_dtype
def test_parameters_are_views_and_round_trip(name, dtype):
    layer = LAYERS[name](3, 5, 2, dtype=dtype, seed=1)
    shapes = stack.shapes(REFERENCES[name].gates, 3, 5, 2)
    assert {key: value.shape for key, value in layer.parameters.items()} == shapes
    assert list(layer.parameters) == list(shapes)
    assert all(np.shares_memory(value, layer.flat) for value in layer.parameters.values())
    np.testing.assert_array_equal(layer.flat, np.concatenate([v.ravel() for v in layer.parameters.values()]))
    other = LAYERS[name](3, 5, 2, dtype=dtype, seed=2)
    assert not np.array_equal(other.flat, layer.flat)
    other.load_state_dict({key: value.tolist() for key, value in layer.state_dict().items()})
    np.testing.assert_array_equal(other.flat, layer.flat)
    assert not np.shares_memory(layer.state_dict()["bias_ih_l0"], layer.flat)
    np.testing.assert_array_equal(LAYERS[name](3, 5, 2, dtype=dtype, seed=1).flat, layer.flat)


@every_cell
def test_initialisers(name):
    H = 30
    gates = REFERENCES[name].gates
    pytorch = LAYERS[name](7, H, 2, init="pytorch", dtype="float64", seed=0)
    for key, value in pytorch.parameters.items():
        assert np.abs(value).max() <= 1 / np.sqrt(H), key
        assert value.std() > 0.8 / np.sqrt(3 * H), key
    layer = LAYERS[name](7, H, 2, init="orthogonal", dtype="float64", seed=0)
    for l in range(2):
        weight_ih, weight_hh, bias_ih, bias_hh = stack.weights_of(layer.parameters, l)
        for block in np.split(weight_hh, gates):
            np.testing.assert_allclose(block @ block.T, np.eye(H), atol=1e-13)
        for block in np.split(weight_ih, gates):
            bound = np.sqrt(6 / sum(block.shape))
            assert 0.9 * bound < np.abs(block).max() <= bound
        expected = np.zeros_like(bias_ih)
        if name == "lstm":
            expected[H : 2 * H] = 1
        np.testing.assert_array_equal(bias_ih, expected)
        np.testing.assert_array_equal(bias_hh, 0)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_bias_gradients_of_one_hidden_unit_in_float32_are_as_accurate_as_their_terms(kind):
    """Errors of 1600 steps cancel: what rounds at every step must not be the sum of all before.

    In units of eps sqrt(N) times the root mean square of the terms, as errors of that many independent roundings are,
    a chain of N = 1600 additions is off by up to 20, as sqrt(N) / 2; PyTorch by 1 to 3.
    """
    T, B, eps = 200, 8, np.finfo("f4").eps
    for seed in range(5):
        rng = np.random.default_rng(seed)
        single = getattr(bptt, kind)(3, 1, seed=seed)
        double = getattr(bptt, kind)(3, 1, seed=seed, dtype="float64")
        double.load_state_dict(single.state_dict())
        x, dy = (rng.normal(size=(T, B, n)).astype("f4") for n in (3, 1))
        _, _, tape = single.forward(x)
        g = single.backward(dy, tape).parameters
        _, _, tape = double.forward(x.astype("f8"))
        exact = double.backward(dy.astype("f8"), tape).parameters
        unit = eps * np.sqrt(T * B) * np.sqrt(np.mean(dy**2))
        for name in ("bias_ih_l0", "bias_hh_l0"):
            error = np.abs(g[name] - exact[name]).max()
            assert error < 4 * unit, f"{name}, seed {seed}: {error / unit:.1f} units"
