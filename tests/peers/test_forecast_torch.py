"""The forecast networks of each strategy, rebuilt in PyTorch on the same parameters: forecasts, loss, gradients."""

import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from bptt import seeds
from bptt.forecast.evaluation.intervals import interpolate
from bptt.forecast.fitting.training import predict_windows, simulate_windows
from bptt.forecast.network.architecture import network_of, workspace
from bptt.forecast.network.batches import AVERAGE, CHANGE, DRIFT, LAST, MEAN, SEASONAL, gather
from bptt.forecast.network.step import STRATEGIES, predict
from bptt.network.loss_kernels import HUBER, MAE, MSE
from bptt.network.parameters import views
from bptt.numerics.random import uniform
from bptt.numerics.threads import run

sys.path.append(str(Path(__file__).parent.parent / "forecast"))
from forecast_problem import drawn, loss_and_gradient, plan_of, source_for, start_of

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers


B, STEP = 6, 2


def batch_of(plan, theta):
    """The windows of the training step, as the network sees them, and its forecasts (B, n, Q) of them."""
    network, source = network_of(plan, theta.copy()), source_for(plan)
    work = workspace(plan, network, B)
    work.batch.series[:], work.batch.ends[:] = drawn(plan, B, STEP)
    run(predict, network, work, source)
    return work.batch, predict_windows(plan, source, theta, *drawn(plan, B, STEP))[0]


def rnn_of(plan, parameters, inputs):
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "rnn_tanh": torch.nn.RNN}[plan.cell]
    module = kind(inputs, plan.hidden_size, plan.num_layers, dtype=torch.float64)
    own = {name.removeprefix("rnn."): value for name, value in parameters.items() if name.startswith("rnn.")}
    assert own.keys() == dict(module.named_parameters()).keys()
    return lambda x, state=None: torch.func.functional_call(module, own, (x, state))


def head(plan, o, anchors):
    """(rows, Q, R) from (rows, Q R + K) and (rows, K R)."""
    Q, R = len(plan.taus), plan.row
    above = sum(tau > 0.5 for tau in plan.taus[1:])
    parts, mix = o[:, : Q * R].unflatten(1, (Q, R)), torch.softmax(o[:, Q * R :], 1)
    point = parts[:, 0] + (mix[:, :, None] * anchors.unflatten(1, (len(plan.kinds), R))).sum(1)
    steps = torch.nn.functional.softplus(parts[:, 1:])
    up, down = point[:, None] + steps[:, :above].cumsum(1), point[:, None] - steps[:, above:].cumsum(1)
    return torch.cat([point[:, None], up, down], 1)


def loss_of(plan, f, target, weight):
    """f (rows, Q, R), target and weight (rows, R)."""
    functional = torch.nn.functional
    wide = target[:, None].expand_as(f)
    if plan.loss == MAE:
        point = functional.l1_loss(f[:, 0], target, reduction="none")
    elif plan.loss == MSE:
        point = functional.mse_loss(f[:, 0], target, reduction="none")
    else:
        point = functional.huber_loss(f[:, 0], target, reduction="none", delta=plan.parameter)
    tau = torch.tensor(plan.taus, dtype=torch.float64)[None, 1:, None]
    error = wide[:, 1:] - f[:, 1:]
    pinball = torch.maximum(tau * error, (tau - 1) * error).mean(1)
    return ((point + plan.quantile_share * 2 * pinball) * weight).sum() / weight.sum()


def segment(plan, theta, batch):
    x = batch["x"].unflatten(0, (plan.T, B))
    _, state = rnn_of(plan, theta, plan.hidden_size)(
        torch.relu(torch.nn.functional.linear(x, theta["embed.weight"], theta["embed.bias"]))
    )
    inputs = theta["position"].repeat_interleave(B, 0) + batch["future"] @ theta["decode.weight"].T
    many = lambda part: part.repeat(1, plan.rows, 1)  # noqa: E731
    state = tuple(many(part) for part in state) if isinstance(state, tuple) else many(state)
    y, _ = rnn_of(plan, theta, plan.hidden_size)(inputs[None], state)
    o = torch.nn.functional.linear(y[0], theta["head.weight"], theta["head.bias"])
    return head(plan, o, batch["anchors"])


def direct(plan, theta, batch):
    y, _ = rnn_of(plan, theta, plan.inputs)(batch["x"].unflatten(0, (plan.T, B)))
    c = torch.cat([y[-1], batch["future"]], 1)
    v = torch.relu(torch.nn.functional.linear(c, theta["decode.weight"], theta["decode.bias"]))
    return head(plan, torch.nn.functional.linear(v, theta["head.weight"], theta["head.bias"]), batch["anchors"])


def values_before(plan, batch):
    """z of the last values before each end, oldest first; 0 where there is none."""
    source = source_for(plan)
    rows = []
    for i, end, shift, spread in zip(batch.series, batch.ends, batch.shift, batch.spread, strict=True):
        start = source.starts[i]
        y = np.where(source.observed[start : start + end], source.y[start : start + end], np.nan)
        z = [np.nan] * plan.back + list((y - shift) / spread)
        rows.append(np.nan_to_num(z[-plan.back :]))
    return torch.tensor(np.array(rows))


def windows_anchors(plan, batch):
    """The naive forecasts that are made from the window, of every step: what other strategies are given."""
    source, shape = source_for(plan), (plan.n * B, len(plan.kinds))
    other = batch._replace(anchors=np.zeros(shape))
    run(gather, source, plan.reading, other)
    return torch.tensor(other.anchors).unflatten(0, (plan.n, B))


def recursive(plan, theta, batch, before, naive, told=None, draws=None):
    """`told` (n, B): where the truth is read instead of the forecast; `draws` (n, B): normal scores of a simulation."""
    rnn = rnn_of(plan, theta, plan.inputs)
    path = list(before.T)
    y, state = rnn(batch["x"][: plan.T * B].unflatten(0, (plan.T, B)))
    future = batch["future"].unflatten(0, (plan.n, B))
    said: list = []
    back = len(path)

    def repeated(s, k):
        """The value that a naive forecast of step s repeats: the window's, where it is in there, else a forecast."""
        return path[back + s - plan.periods[k]] if s >= plan.periods[k] else naive[s, :, k]

    for s in range(plan.n):
        if s > 0:
            marked = plan.marks_forecasts and draws is None
            seen = (told[s - 1] if told is not None else torch.zeros(B)) if marked else torch.ones(B)
            own = [path[-1], seen.double(), *(path[-lag] for lag in plan.lags)]
            y, state = rnn(torch.cat([torch.stack(own, 1), future[s]], 1)[None], state)
        anchors = []
        for k, kind in enumerate(plan.kinds):
            if s == 0 or kind in (MEAN, AVERAGE):
                anchors.append(naive[s, :, k])
            elif kind == LAST:
                anchors.append(path[-1])
            elif kind == DRIFT:
                anchors.append(path[-1] + batch["slope"])
            else:
                anchors.append(repeated(s, k) + (path[-1] - repeated(s - 1, k) if kind == CHANGE else 0))
        o = torch.nn.functional.linear(y[-1], theta["head.weight"], theta["head.bias"])
        f = head(plan, o, torch.stack(anchors, 1) if anchors else naive[s])
        said.append(f)
        if draws is not None:
            path.append(torch.tensor(quantiles_at(plan, f[:, :, 0].detach().numpy(), draws[s])))
        elif told is not None:
            path.append(torch.where(told[s], batch["target"].unflatten(0, (plan.n, B))[s, :, 0], f[:, 0, 0]))
        else:
            path.append(f[:, 0, 0])
    return torch.cat(said), path[back:]


def quantiles_at(plan, f, z):
    """Of the quantiles f (B, Q), those at the normal scores z (B,)."""
    order = np.argsort(plan.taus)
    taus = np.array(plan.taus)[order]
    return [interpolate(row[order], taus, [NormalDist().cdf(score)])[0] for row, score in zip(f, z, strict=True)]


def both_ways(plan):
    """Assert that everything is the same."""
    theta = start_of(plan)
    arrays, ours = batch_of(plan, theta)
    loss, grad = loss_and_gradient(plan, theta, B, STEP)
    parameters = {name: torch.tensor(part, requires_grad=True) for name, part in views(theta, plan.shapes).items()}
    batch = {
        name: torch.tensor(getattr(arrays, name)) for name in ("x", "future", "anchors", "slope", "target", "weight")
    }
    if plan.strategy == "recursive":
        told = told_of(plan, batch["weight"])
        f, _ = recursive(plan, parameters, batch, values_before(plan, arrays), windows_anchors(plan, arrays), told)
        assert told.any() == (plan.told > 0)
    else:
        f = {"segment": segment, "direct": direct}[plan.strategy](plan, parameters, batch)
    if not plan.told:
        theirs = f.detach().numpy().reshape(plan.rows, B, len(plan.taus), plan.row).transpose(1, 0, 3, 2)
        np.testing.assert_allclose(ours, theirs.reshape(B, -1, len(plan.taus))[:, : plan.n], rtol=1e-10, atol=1e-10)
    loss_ = loss_of(plan, f, batch["target"], batch["weight"])
    assert loss == pytest.approx(loss_.item(), rel=1e-11)
    loss_.backward()
    assert batch["weight"].sum() > B
    for name, part in views(grad, plan.shapes).items():
        peer = np.zeros(part.shape) if parameters[name].grad is None else parameters[name].grad.numpy()
        assert part.size == 0 or np.abs(peer).max() > 1e-6, name
        np.testing.assert_allclose(
            part, peer, rtol=1e-9, atol=1e-11 * max(1, np.abs(peer).max(initial=0)), err_msg=name
        )


def told_of(plan, weight):
    """Where the training step reads the truth (n, B)."""
    key = seeds.key(plan.seed, "teacher forcing", 0)
    drawn = np.array([uniform(key, STEP, r) < plan.told for r in range(plan.n * B)])
    return torch.tensor(drawn & (weight.numpy()[:, 0] > 0)).unflatten(0, (plan.n, B))


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn_tanh"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_layers_with_everything(strategy, cell):
    both_ways(plan_of(strategy, cell, dropout=0.0, told=0.0))


@pytest.mark.parametrize("loss", [MAE, HUBER])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_other_losses(strategy, loss):
    both_ways(plan_of(strategy, "gru", dropout=0.0, told=0.0, loss=loss, parameter=0.4, quantile_share=0.7))


@pytest.mark.parametrize(
    "changes",
    [
        {"lags": (), "kinds": (MEAN, LAST), "periods": (0, 0)},
        {"lags": (3,), "kinds": (), "periods": ()},
        {"lags": (), "kinds": (SEASONAL, CHANGE, DRIFT), "periods": (4, 2, 0), "n": 9, "futr": 0, "static": 0},
    ],
    ids=["last value", "lags", "seasons, many steps"],
)
def test_each_way_that_a_forecast_takes_back_into_the_network(changes):
    both_ways(plan_of("recursive", "lstm", dropout=0.0, told=0.0, **changes))


@pytest.mark.parametrize("marks_forecasts", [True, False])
def test_scheduled_sampling(marks_forecasts):
    both_ways(plan_of("recursive", "gru", dropout=0.0, told=0.5, n=9, marks_forecasts=marks_forecasts))


@pytest.mark.parametrize("taus", [(0.5, 0.7, 0.9, 0.2), (0.5, 0.9, 0.3, 0.1)])
def test_simulation(taus):
    plan = plan_of("recursive", "gru", dropout=0.0, told=0.0, n=7, taus=taus)
    theta, source = start_of(plan), source_for(plan)
    arrays, _ = batch_of(plan, theta)
    draws = np.random.default_rng(0).standard_normal((B, plan.n)) * 2
    ours, shift, spread = simulate_windows(plan, source, theta, *drawn(plan, B, STEP), draws)
    batch = {name: torch.tensor(getattr(arrays, name)) for name in ("x", "future", "anchors", "slope")}
    parameters = {name: torch.tensor(part) for name, part in views(theta, plan.shapes).items()}
    naive = windows_anchors(plan, arrays)
    _, path = recursive(plan, parameters, batch, values_before(plan, arrays), naive, draws=draws.T)
    np.testing.assert_allclose(ours, np.array([step.numpy() for step in path]).T, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal((shift, spread), (arrays.shift, arrays.spread))


@pytest.mark.parametrize("strategy", ["segment", "direct"])
def test_values_alone(strategy):
    both_ways(plan_of(strategy, "gru", dropout=0.0, futr=0, hist=0, static=0, lags=(), num_layers=1, n=4))
