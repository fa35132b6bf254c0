"""A Sequential trained by `bptt.train` has PyTorch's losses, step by step, with the same parameters and data."""

import numpy as np
import pytest

import bptt

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers


class Peer(torch.nn.Module):
    """The same layers; with `last`, the output of each sequence's last step."""

    def __init__(self, cell, sizes, outputs, last):
        super().__init__()
        self.rnn = getattr(torch.nn, cell)(*sizes)
        self.head = torch.nn.Linear(sizes[1], outputs)
        self.last = last

    def forward(self, x, lengths=None):
        y, _ = self.rnn(x)
        if self.last:
            y = y[torch.as_tensor(lengths) - 1, torch.arange(x.shape[1])]
        return self.head(y)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_losses_are_pytorchs(cell, optimizer, last):
    rng = np.random.default_rng(0)
    sizes, outputs = (3, 16, 2), 4
    layers = [getattr(bptt, cell)(*sizes, seed=0), bptt.LastStep(), bptt.Linear(16, outputs, seed=1)]
    model = bptt.Sequential(*(layer for layer in layers if last or not isinstance(layer, bptt.LastStep)))
    peer = Peer(cell, sizes, outputs, last)
    names = [*peer.state_dict()]
    values = [torch.from_numpy(value.copy()) for value in model.parameters.values()]
    peer.load_state_dict(dict(zip(names, values, strict=True)))
    batches = []
    for _ in range(20):
        x, lengths = rng.normal(size=(9, 8, 3)).astype("float32"), rng.integers(1, 10, 8)
        target = rng.integers(0, outputs, 8 if last else (9, 8))
        batches.append((x, target, {"lengths": lengths} if last else {}))
    steps = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": torch.optim.SGD,
        "rmsprop": torch.optim.RMSprop,
    }
    step = steps[optimizer](peer.parameters(), lr=0.01)
    expected = []
    for x, target, options in batches:
        step.zero_grad()
        logits = peer(torch.from_numpy(x), **options)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, outputs), torch.from_numpy(target.ravel()))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 0.5)
        step.step()
        expected.append(loss.item())
    found = []

    def loss(y, target):
        value, dy = bptt.cross_entropy(y, target)
        found.append(value)
        return value, dy

    bptt.train(model, batches, loss, epochs=1, optimizer=optimizer, learning_rate=0.01, clip_norm=0.5, progress=False)
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert np.ptp(expected) > 1e-3
    for value, theirs in zip(model.parameters.values(), peer.state_dict().values(), strict=True):
        np.testing.assert_allclose(value, theirs.numpy(), rtol=0, atol=2e-3 if optimizer == "rmsprop" else 3e-4)
