"""Live comparison with PyTorch over random shapes; needs the extra `peers`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bptt
from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import Trainer
from bptt.training.optimizers import SGD, Adam
from reference import training

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers

CELLS = {
    "rnn_tanh": (bptt.RNN, torch.nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (bptt.RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
    "gru": (bptt.GRU, torch.nn.GRU, {}),
    "lstm": (bptt.LSTM, torch.nn.LSTM, {}),
}
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
every_cell = pytest.mark.parametrize("name", CELLS)
every_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])
sizes = st.tuples(
    st.integers(1, 12),
    st.integers(1, 19),
    st.integers(1, 20),
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(0, 99),
)


def both_ways(name, dtype, shape, batch_first=False):
    """Everything our layer and PyTorch's make of the same numbers: {label: (ours, theirs)}."""
    T, B, I, H, L, seed = shape
    ours, theirs, options = CELLS[name]
    torch.manual_seed(seed)
    options = {"num_layers": L, "batch_first": batch_first, **options}
    module = theirs(I, H, dtype=getattr(torch, dtype), **options)
    layer = ours(I, H, dtype=dtype, **options)
    assert list(layer.parameters) == [key for key, _ in module.named_parameters()]
    layer.load_state_dict(module.state_dict())
    rng = np.random.default_rng(seed)
    draw = lambda *size: rng.normal(size=size).astype(dtype)  # noqa: E731
    S, TB = 2 if name == "lstm" else 1, (B, T) if batch_first else (T, B)
    x, dy, state, dlast = draw(*TB, I), draw(*TB, H), draw(S, L, B, H), draw(S, L, B, H)

    y, last, tape = layer.forward(x, tuple(state) if S == 2 else state[0])
    g = layer.backward(dy, tape, tuple(dlast) if S == 2 else dlast[0])

    x_, state_ = (torch.from_numpy(v).requires_grad_() for v in (x, state))
    y_, last_ = module(x_, tuple(state_) if S == 2 else state_[0])
    last_ = torch.stack(last_) if S == 2 else last_[None]
    ((y_ * torch.from_numpy(dy)).sum() + (last_ * torch.from_numpy(dlast)).sum()).backward()

    stacked = lambda v: np.stack(v) if S == 2 else v[None]  # noqa: E731
    pairs = {
        "y": (y, y_),
        "last": (stacked(last), last_),
        "dx": (g.x, x_.grad),
        "dstate": (stacked(g.state), state_.grad),
    }
    pairs |= {key: (g.parameters[key], p.grad) for key, p in module.named_parameters()}
    return {key: (one, other.detach().numpy()) for key, (one, other) in pairs.items()}


def assert_close(pairs, dtype):
    for label, (ours, theirs) in pairs.items():
        assert ours.dtype == theirs.dtype, label
        assert ours.shape == theirs.shape, label
        error, largest = np.abs(ours - theirs).max(), np.abs(theirs).max()
        assert error <= TOLERANCE[dtype] * largest, f"{label}: off by {error:.2e}, largest entry {largest:.2e}"


@every_cell
@every_dtype
@given(shape=sizes)
def test_random_shapes(name, dtype, shape):
    assert_close(both_ways(name, dtype, shape), dtype)


@every_cell
@every_dtype
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1, 1, 0), (1, 1, 5, 33, 2, 1), (50, 1, 3, 31, 1, 2), (20, 33, 17, 97, 2, 3)]
)
def test_chosen_shapes(name, dtype, shape):
    assert_close(both_ways(name, dtype, shape), dtype)


@every_cell
def test_batch_first(name):
    assert_close(both_ways(name, "float64", (5, 3, 2, 4, 2, 0), batch_first=True), "float64")


@every_cell
@every_dtype
@given(shape=sizes)
def test_packed_sequences(name, dtype, shape):
    """Sequences of unequal lengths, unsorted, against PyTorch's packed ones."""
    T, B, I, H, L, seed = shape
    ours, theirs, options = CELLS[name]
    torch.manual_seed(seed)
    module, layer = theirs(I, H, L, dtype=getattr(torch, dtype), **options), ours(I, H, L, dtype=dtype, **options)
    layer.load_state_dict(module.state_dict())
    rng = np.random.default_rng(seed)
    draw = lambda *size: rng.normal(size=size).astype(dtype)  # noqa: E731
    S, lengths = 2 if name == "lstm" else 1, rng.integers(1, T + 1, B)
    x, dy, state, dlast = draw(T, B, I), draw(T, B, H), draw(S, L, B, H), draw(S, L, B, H)
    y, last, tape = layer.forward(x, tuple(state) if S == 2 else state[0], lengths=lengths)
    g = layer.backward(dy, tape, tuple(dlast) if S == 2 else dlast[0])

    x_, state_ = (torch.from_numpy(v).requires_grad_() for v in (x, state))
    packed = torch.nn.utils.rnn.pack_padded_sequence(x_, torch.from_numpy(lengths), enforce_sorted=False)
    out, last_ = module(packed, tuple(state_) if S == 2 else state_[0])
    y_, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=T)
    last_ = torch.stack(last_) if S == 2 else last_[None]
    ((y_ * torch.from_numpy(dy)).sum() + (last_ * torch.from_numpy(dlast)).sum()).backward()
    stacked = lambda parts: np.stack(parts) if S == 2 else parts[None]  # noqa: E731
    pairs = {
        "y": (y, y_),
        "last": (stacked(last), last_),
        "dx": (g.x, x_.grad),
        "dstate": (stacked(g.state), state_.grad),
    }
    pairs |= {key: (g.parameters[key], p.grad) for key, p in module.named_parameters()}
    assert_close({key: (one, other.detach().numpy()) for key, (one, other) in pairs.items()}, dtype)


@every_dtype
def test_cross_entropy_linear_embedding(dtype):
    rng = np.random.default_rng(0)
    rows, V, E = 13, 7, 5
    tokens, targets = rng.integers(V, size=(2, rows))
    embedding = bptt.Embedding(V, E, dtype=dtype, seed=1)
    linear = bptt.Linear(E, V, dtype=dtype, seed=2)
    e_, w_, b_ = (
        torch.from_numpy(v.copy()).requires_grad_()
        for v in (embedding.parameters["weight"], linear.parameters["weight"], linear.parameters["bias"])
    )
    x, embedding_tape = embedding.forward(tokens)
    y, linear_tape = linear.forward(x)
    loss, dlogits = bptt.cross_entropy(y, targets)
    g = linear.backward(dlogits, linear_tape)
    dembedding = embedding.backward(g.x, embedding_tape).parameters["weight"]
    loss_ = torch.nn.functional.cross_entropy(e_[tokens] @ w_.T + b_, torch.from_numpy(targets))
    loss_.backward()
    assert abs(loss - loss_.item()) <= TOLERANCE[dtype]
    pairs = {
        "weight": (g.parameters["weight"], w_),
        "bias": (g.parameters["bias"], b_),
        "embedding": (dembedding, e_),
    }
    assert_close({key: (ours, p.grad.numpy()) for key, (ours, p) in pairs.items()}, dtype)


@every_dtype
@pytest.mark.parametrize(
    ("name", "options"), [("l1_loss", {}), ("mse_loss", {}), ("huber_loss", {}), ("huber_loss", {"delta": 0.4})]
)
@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_criteria(dtype, name, options, shape, seed):
    rng = np.random.default_rng(seed)
    y_hat, y = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    weight = rng.random(shape)
    y_hat_ = torch.from_numpy(y_hat).requires_grad_()
    function = getattr(torch.nn.functional, name)
    for weighted in (False, True):
        y_hat_.grad = None
        if weighted:
            each = function(y_hat_, torch.from_numpy(y), reduction="none", **options)
            loss_ = (each * torch.from_numpy(weight)).sum() / weight.sum()
        else:
            loss_ = function(y_hat_, torch.from_numpy(y), **options)
        loss_.backward()
        loss, gradient = getattr(bptt, name)(y_hat, y, weight=weight if weighted else None, **options)
        assert abs(loss - loss_.item()) <= TOLERANCE[dtype] * loss
        assert_close({"gradient": (gradient, y_hat_.grad.numpy())}, dtype)


class Model(torch.nn.Module):
    def __init__(self, name, V, E, H, L, dtype):
        super().__init__()
        _, theirs, options = CELLS[name]
        self.embedding = torch.nn.Embedding(V, E, dtype=dtype)
        self.rnn = theirs(E, H, num_layers=L, dtype=dtype, **options)
        self.head = torch.nn.Linear(H, V, dtype=dtype)

    def forward(self, tokens, state):
        y, state = self.rnn(self.embedding(tokens), state)
        return self.head(y), state


@every_cell
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_200_steps_in_lock_step(name, optimizer, num_layers):
    V, E, H, B, k, steps, clip = 13, 9, 23, 5, 11, 200, 0.2
    rng = np.random.default_rng(1)
    moves = rng.choice([1, 2, 5], p=[0.6, 0.3, 0.1], size=(B, steps * k + 1))
    tokens = (moves.cumsum(axis=1) % V).astype(np.int32)
    torch.manual_seed(3)
    peer = Model(name, V, E, H, num_layers, torch.float32)
    ours = SequenceModel(
        cell=name.split("_")[0],
        vocabulary_size=V,
        embedding_size=E,
        hidden_size=H,
        num_layers=num_layers,
        nonlinearity=CELLS[name][2].get("nonlinearity", "tanh"),
        dropout=0.0,
    )
    assert list(ours.parameters) == [key for key, _ in peer.named_parameters()]
    ours.load_state_dict(peer.state_dict())

    learning_rate = 0.05 if optimizer == "sgd" else 0.005  # far from chaos, where any rounding would tell
    if optimizer == "sgd":
        rule, peer_rule = (
            SGD(momentum=0.9),
            torch.optim.SGD(peer.parameters(), lr=learning_rate, momentum=0.9),
        )
    else:
        rule, peer_rule = Adam(), torch.optim.Adam(peer.parameters(), lr=learning_rate)
    trainer = Trainer(ours, streams=B, window=k, optimizer=rule, clip_norm=clip)
    record = trainer.run(tokens, 0, np.full(steps, learning_rate))

    losses, norms, state = [], [], None
    columns = torch.from_numpy(tokens.astype(np.int64)).T
    for start in range(0, steps * k, k):
        logits, state = peer(columns[start : start + k], state)
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        targets = columns[start + 1 : start + k + 1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        peer_rule.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(peer.parameters(), clip).item())
        peer_rule.step()
        losses.append(loss.item())
    assert any(norm > clip for norm in norms)
    assert np.mean(losses[-20:]) < 0.95 * losses[0]
    np.testing.assert_allclose(record.loss, losses, rtol=0, atol=1e-4)
    np.testing.assert_allclose(record.norm, norms, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("naive", "theirs"),
    [
        (
            training.SGD(momentum=0.9, weight_decay=0.1),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        ),
        (training.RMSprop(momentum=0.5), lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.5)),
        (training.RMSprop(weight_decay=0.1), lambda p: torch.optim.RMSprop(p, 0.1, weight_decay=0.1)),
        (training.Adam(weight_decay=0.1), lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1)),
        (training.AdamW(weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1)),
    ],
    ids=["sgd", "rmsprop-momentum", "rmsprop-decay", "adam", "adamw"],
)
def test_the_naive_optimizers_are_pytorchs(naive, theirs):
    rng = np.random.default_rng(4)
    theta = {"w": rng.normal(size=7)}
    w_ = torch.from_numpy(theta["w"].copy()).requires_grad_()
    rule = theirs([w_])
    for _ in range(20):
        grad = rng.normal(size=7)
        naive.step(theta, {"w": grad}, 0.1)
        w_.grad = torch.from_numpy(grad)
        rule.step()
    np.testing.assert_allclose(theta["w"], w_.detach().numpy(), rtol=1e-12)


@every_cell
def test_hessian_times_a_vector_is_that_of_double_backward(name):
    ours, theirs, options = CELLS[name]
    module = theirs(3, 5, 2, dtype=torch.float64, **options)
    layer = ours(3, 5, 2, dtype="float64", **options)
    layer.load_state_dict(module.state_dict())
    rng = np.random.default_rng(0)
    x, v = rng.normal(size=(6, 4, 3)), {key: rng.normal(size=p.shape) for key, p in layer.parameters.items()}
    y, _, _ = layer.forward(x)
    got = layer.hvp(x, 2 * y / y.size, ddy=lambda dy: 2 * dy / dy.size, dparameters=v)
    parameters = dict(module.named_parameters())
    gradients = torch.autograd.grad(
        (module(torch.from_numpy(x))[0] ** 2).mean(), parameters.values(), create_graph=True
    )
    slope = sum((g * torch.from_numpy(v[key])).sum() for key, g in zip(parameters, gradients, strict=True))
    for key, expected in zip(parameters, torch.autograd.grad(slope, parameters.values()), strict=True):
        assert float(expected.abs().max()) > 1e-4
        np.testing.assert_allclose(got.parameters[key], expected.numpy(), rtol=1e-9, atol=1e-12, err_msg=key)
