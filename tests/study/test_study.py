"""The studies against analytic results, published numbers, forward mode, and each other."""

import numpy as np
import pytest

import bptt
from bptt import study
from problem import Problem as Drawn
from problem import as_state, as_tuple, close, every_cell

CARRIER = {"lstm": "c", "gru": "h"}


def drawn(name="lstm", T=8, B=3, I=2, H=4, L=1, seed=0):
    """A problem with random everything; the loss is linear in the outputs."""
    made = Drawn(name, T, B, I, H, L, seed=seed)
    return study.Problem(made.layer, made.x, made.dy, as_state(made.state))


def linear(U, W, T, dy, x=None, state=None):
    """h_t = U h_{t-1} + W x_t."""
    U, W = np.atleast_2d(U).astype(float), np.atleast_2d(W).astype(float)
    H = len(U)
    layer = bptt.RNN(W.shape[1], H, nonlinearity="identity", dtype="float64", seed=0)
    layer.flat *= 0
    layer.parameters["weight_ih_l0"], layer.parameters["weight_hh_l0"] = W, U
    x = np.ones((T, 1, W.shape[1])) if x is None else x
    return study.Problem(layer, x, dy, state)


class TestLinear:
    def test_the_power_law(self):
        """dl_T / dh_{T-k} = w^k, exactly."""
        p = linear(0.83, 1.0, 60, np.ones((60, 1, 1)))
        found = study.gradient_by_lag(p)
        np.testing.assert_allclose(found.to_frame()["mean"], 0.83 ** np.arange(60), rtol=1e-12)
        np.testing.assert_allclose(np.exp(found.arrays["slope"]), 0.83, rtol=1e-12)
        assert "factor of 0.83 a step" in repr(found)

    def test_the_product_of_three_steps(self):
        """d(w^3 x_0)/dw = 3 w^2 x_0 = .108 for w = .2, x_0 = .9."""
        dy = np.zeros((3, 1, 1))
        dy[-1] = 1
        p = linear(0.2, 0.0, 3, dy, state=np.full((1, 1, 1), 0.9))
        g = p.layer.backward(p.dy, p.tape).parameters["weight_hh_l0"]
        np.testing.assert_allclose(g, 0.108, rtol=1e-12)
        parts = study.contribution_by_lag(p, parameter="weight_hh_l0").arrays["parts"]
        np.testing.assert_allclose(parts.ravel(), [0.036] * 3, rtol=1e-12)

    def test_exponents_are_logarithms_of_eigenvalues(self):
        U = np.array([[0.9, 0.3, 0.1], [0.0, -0.7, 0.2], [0.0, 0.0, 0.4]])
        p = linear(U, np.zeros((3, 1)), 300, np.ones((300, 1, 3)), state=np.ones((1, 1, 3)))
        found = study.lyapunov_spectrum(p)
        np.testing.assert_allclose(found.arrays["exponents"], np.log([0.9, 0.7, 0.4]), atol=1e-3)
        assert found.arrays["dimension"] == 0
        assert abs(found.arrays["slope"] - np.log(0.9)) < 0.02
        products = study.jacobian_products(p)
        expected = [np.log(np.linalg.norm(np.linalg.matrix_power(U, k), 2)) for k in range(1, 61)]
        np.testing.assert_allclose(products.arrays["log_largest"][:60], expected, rtol=1e-10)
        np.testing.assert_allclose(
            products.arrays["log_singular"].sum(axis=1), np.arange(1, 301) * np.log(0.9 * 0.7 * 0.4), rtol=1e-10
        )


def influence_balancing(T):
    """s' = A s + theta (1 for ten units, -1 for thirteen), loss (s_1 - 1)^2 / 2 (Tallec & Ollivier 2017)."""
    n = 23
    A = 0.5 * np.eye(n) + 0.5 * np.eye(n, k=1)
    signs = np.array([1.0] * 10 + [-1.0] * 13)[:, None]
    theta = 0.5
    layer_y = linear(A, theta * signs, T, np.zeros((T, 1, n)), state=np.ones((1, 1, n)))
    dy = np.zeros((T, 1, n))
    dy[-1, 0, 0] = layer_y.y[-1, 0, 0] - 1
    p = linear(A, theta * signs, T, dy, state=np.ones((1, 1, n)))
    return p, lambda flat: float(flat[:n] @ signs[:, 0])


def test_influence_balancing_has_the_wrong_sign_up_to_forty_steps():
    """Relative bias of the truncated gradient: -.53 at 45 steps, -.21 at 50, -.017 at 60."""
    p, by_theta = influence_balancing(400)
    whole = by_theta(p.gradient())
    truncated = {K: by_theta(p.layer.backward(p.dy[-K:], p.tape[-K:]).flat) for K in (1, 10, 20, 30, 40, 45, 50, 60)}
    for K in (1, 10, 20, 30, 40):
        assert truncated[K] * whole < 0, K
    for K, bias in ((45, -0.53), (50, -0.21), (60, -0.017)):
        np.testing.assert_allclose(truncated[K] / whole - 1, bias, atol=0.006)


@every_cell
def test_rtrl_is_the_gradient(name):
    p = drawn(name)
    by_step = study.rtrl_by_step(p)
    close(by_step.sum(axis=0), p.gradient(), 1e-10, "whole")
    # What it has after t steps is the gradient of the losses so far.
    dy = p.dy.copy()
    dy[5:] = 0
    close(by_step[:5].sum(axis=0), p.layer.backward(dy, p.tape).flat, 1e-10, "five steps")
    assert np.abs(by_step).max(axis=1).min() > 0


@every_cell
def test_truncation_at_the_whole_length_is_the_gradient(name):
    p, rng = drawn(name, T=9), np.random.default_rng(0)
    np.testing.assert_array_equal(study.tbptt(9)(p, rng), p.gradient())
    close(study.tbptt(1, 9)(p, rng), p.gradient(), 1e-12, "k1 = 1")
    close(study.tbptt(4, 9)(p, rng), p.gradient(), 1e-12, "a window left over")


@every_cell
def test_contributions_up_to_a_lag_are_the_truncated_gradient(name):
    p, rng = drawn(name, T=9), np.random.default_rng(0)
    parts = study.contribution_by_lag(p).arrays["parts"]
    for K in (1, 3, 9):
        close(parts[:K].sum(axis=0), study.tbptt(1, K)(p, rng), 1e-12, f"K = {K}")
    some = study.contribution_by_lag(p, parameter="weight_hh_l0", max_lag=2)
    assert some.arrays["parts"].shape == (3, p.layer.parameters["weight_hh_l0"].size)
    table = study.truncation_bias(p, windows=[1, (1, 3), (3, 9), 9]).to_frame()
    assert (table["relative_error"] <= table["bound"] + 1e-12).all()
    np.testing.assert_allclose(table["relative_error"].iloc[2:], 0, atol=1e-12)
    assert table["relative_error"].iloc[0] > 1e-3
    assert table["mean_horizon"].tolist() == [1, 3, 8, 5]


@every_cell
@pytest.mark.parametrize("L", [1, 2])
def test_jacobians_against_forward_mode(name, L):
    p = drawn(name, L=L, T=5)
    J = study.jacobians(p, row=1).arrays["jacobians"]
    S, H = len(p.layer.cell.states), 4
    rng = np.random.default_rng(0)
    for t in range(5):
        v = rng.normal(size=(L, S, H))
        states = [np.stack([p.tape.layers[l].s[t, 1].reshape(S, H)[k] for l in range(L)])[:, None] for k in range(S)]
        moving = [v[:, k][:, None] for k in range(S)]
        _, (_, moved) = p.layer.jvp(p.x[t : t + 1, 1:2], as_state(states), dstate=as_state(moving))
        expected = np.stack([part[:, 0] for part in as_tuple(moved)], axis=1).ravel()
        close(J[t] @ v.ravel(), expected, 1e-12, f"step {t}")
        assert np.abs(expected).max() > 1e-3 or name == "rnn_relu"


@every_cell
def test_lags_against_products_of_jacobians(name):
    p = drawn(name, T=6)
    found = study.gradient_by_lag(p, wrt="h").arrays["norms"]
    J = study.jacobians(p, row=2).arrays["jacobians"]
    H, t = 4, 5
    # The last state's error is that of h alone; h of a step before it moves h and c of the next one.
    error = np.zeros(len(J[0]))
    error[:H] = p.dy[t, 2]
    for lag in range(6):
        np.testing.assert_allclose(found[lag, t, 2], np.linalg.norm(error[:H]), rtol=1e-12)
        error = error @ J[t - lag]
    assert np.isnan(found[3, 2, 0])
    both = study.gradient_by_lag(p, wrt="x", per="sum", max_lag=2)
    g = p.layer.backward(p.dy, p.tape).x
    np.testing.assert_allclose(both.arrays["norms"], np.linalg.norm(g, axis=2)[::-1][:3], rtol=1e-12)


@pytest.mark.parametrize("name", ["rnn_tanh", "gru", "lstm"])
def test_random_estimators_are_unbiased(name):
    """Within three standard errors along the gradient, and in every parameter's own on the whole."""
    p = drawn(name, T=7, B=1)
    gradient = p.gradient()
    for estimator in (study.uoro(), study.artbp(3)):
        rng = np.random.default_rng(7)
        draws = np.array([estimator(p, rng) for _ in range(400)])
        along = draws @ gradient / np.linalg.norm(gradient)
        z = (along.mean() - np.linalg.norm(gradient)) / (along.std() / np.sqrt(len(draws)))
        assert abs(z) < 3, (estimator, z)
        each = (draws.mean(axis=0) - gradient) / np.maximum(draws.std(axis=0) / np.sqrt(len(draws)), 1e-300)
        varies = draws.std(axis=0) > 0
        assert np.sqrt((each[varies] ** 2).mean()) < 2, estimator
        assert draws.std() > 0


def test_snap1_is_exact_where_units_do_not_meet():
    made = Drawn("lstm", 7, 2, 2, 4, 1)
    U = made.layer.parameters["weight_hh_l0"].copy().reshape(4, 4, 4)
    made.layer.parameters["weight_hh_l0"] = (U * np.eye(4)).reshape(16, 4)
    p = study.Problem(made.layer, made.x, made.dy)
    rng, off = np.random.default_rng(0), ~np.tile(np.eye(4, dtype=bool), (4, 1))
    close(study.snap1()(p, rng), p.gradient(), 1e-12, "diagonal")
    assert np.abs(p.gradient()).min() > 0
    assert off.any()
    full = drawn("lstm")
    assert np.abs(study.snap1()(full, rng) - full.gradient()).max() > 1e-3


def test_a_random_network_turns_chaotic_at_a_gain_of_one():
    """tanh units with weights g * normal / sqrt(N) (Sompolinsky, Crisanti & Sommers 1988)."""
    first = {}
    for g in (0.7, 2.5):
        layer = bptt.RNN(1, 80, dtype="float64", seed=0)
        layer.flat *= 0
        layer.parameters["weight_hh_l0"] = g * np.random.default_rng(1).normal(size=(80, 80)) / np.sqrt(80)
        state = np.random.default_rng(2).normal(size=(1, 1, 80))
        p = study.Problem(layer, np.zeros((250, 1, 1)), np.ones((250, 1, 80)), state)
        found = study.lyapunov_spectrum(p, warmup=100).arrays
        first[g] = found["exponents"][0]
        np.testing.assert_allclose(found["slope"], first[g], atol=0.06)
    np.testing.assert_allclose(first[0.7], np.log(0.7), atol=0.08)
    assert first[2.5] > 0.05


def test_problems_are_copies_in_float64():
    layer = bptt.GRU(2, 3, batch_first=True, seed=0)
    x = np.random.default_rng(0).normal(size=(4, 6, 2)).astype("f4")
    target = np.zeros((4, 6, 3))
    p = study.Problem(layer, x, lambda y: bptt.mse_loss(y, target))
    assert p.x.shape == (6, 4, 2)
    y, _, tape = layer.forward(x)
    loss, dy = bptt.mse_loss(y, target.astype("f4"))
    np.testing.assert_allclose(p.value, loss, rtol=1e-5)
    close(p.gradient().astype("f4"), layer.backward(dy, tape).flat, 1e-5, "gradient")
    before = p.gradient()
    layer.flat *= 2
    x[:] = 0
    np.testing.assert_array_equal(p.gradient(), before)
    rows = sum(p.of_row(row).gradient() for row in range(4))
    close(rows, before, 1e-12, "rows")


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_ways_add_up_to_the_error(name):
    p = drawn(name)
    found = study.path_split(p)
    parts, whole = found.arrays["parts"], found.arrays["whole"]
    there = ~np.isnan(whole)
    assert there.sum() == 8 * 9 // 2 * 3 * 4
    np.testing.assert_allclose(parts.sum(axis=0)[there], whole[there], atol=1e-12 * np.abs(whole[there]).max())
    for t in (0, 7):
        errors = p.layer.backward(None, p.tape[: t + 1], last=p.dy[t], errors=CARRIER[name]).errors[CARRIER[name]][0]
        np.testing.assert_allclose(whole[: t + 1, t], errors[::-1], rtol=1e-12)
    # Every gate has sent something; the carried part is the product of the gate that carries.
    assert (np.nanmax(np.abs(parts[:, 1:]), axis=(1, 2, 3, 4)) > 1e-4).all()
    gate = p.tape.layers[0].gates["f" if name == "lstm" else "z"]
    expected = parts[0, 0, 7] * gate[7] * gate[6] * gate[5]
    np.testing.assert_allclose(parts[0, 3, 7], expected, rtol=1e-12)
    shares = found.to_frame().groupby("lag")["share"].sum()
    np.testing.assert_allclose(shares, 1, rtol=1e-9)


def test_without_recurrent_weights_all_is_carried():
    made = Drawn("lstm", 6, 2, 2, 3, 1)
    made.layer.parameters["weight_hh_l0"] = np.zeros((12, 3))
    found = study.path_split(study.Problem(made.layer, made.x, made.dy), max_lag=4)
    assert "100% of dL/dc 4 steps back came along c alone" in repr(found)
    with pytest.raises(ValueError, match="layer with gates, lstm, gru; got rnn_relu"):
        study.path_split(drawn("rnn_relu"))
    with pytest.raises(ValueError, match="num_layers=1; got 2"):
        study.path_split(drawn("gru", L=2))


def test_plateaus_of_two_lags_are_the_published_ones():
    task = study.tasks.two_lags(5, 9, 30)
    assert [round(loss, 4) for loss in task.plateaus.values()] == [0.6616, 0.6277, 0.5192, 0.4545]
    # One who knows both, on drawn sequences; and the others' verdicts.
    x, target = task.draw(4000, np.random.default_rng(0))
    x = x[:, :, 1]
    p = np.full(x.shape, 0.5)
    p[9:] = 0.5 + 0.5 * x[4:-5] - 0.25 * x[:-9]
    logits = np.log(np.stack([1 - p, p], axis=-1).clip(1e-12))
    value, dy = task.loss(logits, target)
    np.testing.assert_allclose(value, 0.4544, atol=0.003)
    assert not dy[:9].any()
    assert "solved" in task.verdict(value)
    assert "knows the first lag" in task.verdict(0.52)
    assert "worse than knowing nothing" in task.verdict(0.9)
    assert "0.4900 is between the first lag (0.5192) and both lags (0.4545)" in task.verdict(0.49)


def test_baselines_of_the_other_tasks():
    """Copy memory: 10 ln 8 / (T + 20), .1733 at T = 100 and .0945 at 200; adding: 1/6."""
    rng = np.random.default_rng(0)
    for blanks, loss in ((100, 0.1733), (200, 0.0945)):
        task = study.tasks.copy_memory(blanks)
        np.testing.assert_allclose(task.plateaus["nothing"], loss, atol=5e-5)
        x, target = task.draw(50, rng)
        assert x.shape == (blanks + 20, 50, 10)
        np.testing.assert_array_equal(x[:10].argmax(axis=2), target[-10:])
        logits = np.full(x.shape, -40.0)
        logits[:-10, :, 0] = 0
        logits[-10:, :, 1:9] = 0
        np.testing.assert_allclose(task.loss(logits, target)[0], task.plateaus["nothing"], rtol=1e-6)
    task = study.tasks.adding(50)
    x, target = task.draw(20000, rng)
    value, dy = task.loss(np.ones((50, 20000, 1)), target)
    np.testing.assert_allclose(value, 1 / 6, atol=0.005)
    assert not dy[:-1].any()
    assert dy[-1].any()
    assert (x[:, :, 1].sum(axis=0) == 2).all()
    for task in (study.tasks.delayed_echo(3, 20), study.tasks.parity(20)):
        x, target = task.draw(4, rng)
        value, _ = task.loss(np.zeros((20, 4, 2)), target)
        np.testing.assert_allclose(value, np.log(2), rtol=1e-12)
        ones = x[:, :, 1].astype(int)
        if "echo" in task.name:
            np.testing.assert_array_equal(target[3:], ones[:-3])
        else:
            assert all((ones[: t + 1].sum(axis=0) % 2 == target[t]).all() for t in range(20))


def test_a_character_model_as_a_problem():
    text = "the quick brown fox jumps over the lazy dog. " * 60
    lm = bptt.text.CharLM(hidden_size=12, embedding_size=6, num_layers=2, dropout=0.0, seed=0, dtype="float64")
    lm.fit(text, streams=4, window=16, epochs=1, progress=False)
    p = study.problem(lm, text, steps=20, rows=6)
    # Character by character from a fresh state, by the model's own evaluation of each piece.
    nats = [lm.evaluate(text[row * 20 : row * 20 + 21], streams=1)["nats_per_char"] * 20 for row in range(6)]
    np.testing.assert_allclose(p.value, np.mean(nats), rtol=1e-9)
    last = study.problem(lm, text, steps=20, rows=6, last=True)
    assert not last.dy[:-1].any()
    np.testing.assert_allclose(last.dy[-1], p.dy[-1], rtol=1e-9)
    with pytest.raises(bptt.NotFittedError, match="trained or loaded"):
        study.problem(bptt.text.CharLM(), text)
    with pytest.raises(ValueError, match=r"at least steps . rows . 1 = 121"):
        study.problem(lm, text[:50], steps=20, rows=6)


def test_gates():
    layer = bptt.LSTM(1, 3, dtype="float64", seed=0)
    layer.flat *= 0
    layer.parameters["bias_ih_l0"] = np.repeat([0.0, np.log(9.0), 0.0, 0.0], 3)  # f = .9: ten steps
    _, _, tape = layer.forward(np.zeros((5, 2, 1)))
    found = study.gate_statistics(tape)
    np.testing.assert_allclose(found.arrays["time_constants"], [[10] * 3], rtol=1e-10)
    assert found.arrays["dead"].all()
    table = found.to_frame().set_index("gate")
    np.testing.assert_allclose(table["mean"][["i", "f", "o"]], [0.5, 0.9, 0.5], rtol=1e-10)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: study.gradient_by_lag(p),
        lambda p: study.contribution_by_lag(p),
        lambda p: study.path_split(p, max_lag=3),
        lambda p: study.jacobians(p),
        lambda p: study.jacobian_products(p),
        lambda p: study.lyapunov_spectrum(p, warmup=0),
        lambda p: study.truncation_bias(p, windows=[2, (2, 12)]),
        lambda p: study.gate_statistics(p.tape),
        lambda p: study.compare_estimators(p, [study.rtrl(), study.artbp(3), study.snap1()], samples=10),
    ],
)
def test_every_result_has_a_figure_and_words(make, tmp_path):
    pytest.importorskip("matplotlib")
    found = make(drawn("lstm", T=12))
    ax = found.plot()
    ax.figure.savefig(tmp_path / "figure.png")
    assert ax.get_xlabel()
    assert ": " in repr(found)
    assert len(found.to_frame()) > 0
    assert found.plot(ax) is ax


def test_what_does_not_fit_is_named():
    p = drawn("gru")
    layer = bptt.GRU(2, 3)
    x = np.ones((5, 1, 2))
    with pytest.raises(TypeError, match="layer must be an RNN, GRU or LSTM of bptt; got Linear"):
        study.Problem(bptt.Linear(2, 3), x, x)
    with pytest.raises(ValueError, match=r"x must have shape .*I=2"):
        study.Problem(layer, np.ones((5, 1, 3)), x)
    with pytest.raises(ValueError, match=r"loss must have shape .*T=5, B=1, H=3"):
        study.Problem(layer, x, np.ones((5, 1, 2)))
    with pytest.raises(ValueError, match=r"dy of the loss must have 3 dimensions"):
        study.Problem(layer, x, lambda y: (1.0, np.ones(3)))
    with pytest.raises(TypeError, match="loss must hold real numbers; got dtype <U1"):
        study.Problem(layer, x, np.full((5, 1, 3), "a"))
    with pytest.raises(TypeError, match="state must hold real numbers"):
        study.Problem(layer, x, np.ones((5, 1, 3)), np.full((1, 1, 3), 1j))
    with pytest.raises(TypeError, match=r"loss must return the loss and dL/dy; got float"):
        study.Problem(layer, x, lambda y: 1.0)
    with pytest.raises(TypeError, match=r"problem must be a study.Problem"):
        study.gradient_by_lag(layer)
    with pytest.raises(ValueError, match=r"wrt must be one of .*'c'"):
        study.gradient_by_lag(p, wrt="c")
    with pytest.raises(ValueError, match=r"max_lag must be .*7"):
        study.gradient_by_lag(p, max_lag=8)
    with pytest.raises(ValueError, match="row must be"):
        study.jacobians(p, row=3)
    with pytest.raises(ValueError, match="warmup must leave at least 10 of the 8 steps"):
        study.lyapunov_spectrum(p)
    with pytest.raises(ValueError, match="uoro takes layers with num_layers=1; got 2"):
        study.compare_estimators(drawn("gru", L=2), [study.uoro()])
    with pytest.raises(TypeError, match="estimators must be such as"):
        study.compare_estimators(p, ["bptt"])
    with pytest.raises(ValueError, match="tape must be that of a cell with gates, lstm, gru; got rnn_tanh"):
        study.gate_statistics(drawn("rnn_tanh").tape)
    with pytest.raises(ValueError, match="windows must have at least one"):
        study.truncation_bias(p, windows=[])
