"""Writes the golden files of this folder with PyTorch (torch==2.13.0), so that `make test` needs no PyTorch.

    python tests/golden/make_golden.py

{cell}.npz holds, for 1-3 layers and both dtypes ("2-float64-..."): seed, layout (JSON: names and shapes in
PyTorch's order), parameters (one flat vector in that order), x, state (S,L,B,H), y, last (S,L,B,H), dy,
dlast, and the gradients of (y * dy).sum() + (last * dlast).sum(): dx, dstate, gradients (flat, like
parameters).

training.npz holds, for every cell and optimizer ("lstm-adam-..."), 200 steps of a small character model with
carried, detached state and a clipped global norm: layout and parameters as above, losses and norms before
clipping in both dtypes; and once for all: the tokens and the settings (JSON).
"""

import json
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
CELLS = {
    "rnn_tanh": lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="tanh", **options),
    "rnn_relu": lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": torch.nn.GRU,
    "lstm": torch.nn.LSTM,
}
SHAPES = {1: (4, 3, 2, 5), 2: (5, 1, 3, 3), 3: (3, 2, 1, 4)}  # layers: T, B, I, H
TRAINING = {
    "vocabulary_size": 9,
    "embedding_size": 5,
    "hidden_size": 7,
    "streams": 3,
    "window": 5,
    "steps": 200,
    "clip_norm": 0.5,
    "sgd": {"learning_rate": 0.1, "momentum": 0.9},
    "adam": {"learning_rate": 0.02},
}


def layout_of(named):
    return np.array(json.dumps([[name, list(p.shape)] for name, p in named]))


def flat(tensors):
    return np.concatenate([tensor.detach().numpy().ravel() for tensor in tensors])


def sequences(cell, num_layers, seed):
    """One forward and backward pass, in float64 and, from the same numbers rounded, in float32."""
    T, B, I, H = SHAPES[num_layers]
    S = 2 if cell == "lstm" else 1
    torch.manual_seed(seed)
    double = CELLS[cell](I, H, num_layers=num_layers, dtype=torch.float64)
    parameters = [torch.empty_like(p).uniform_(-0.7, 0.7) for p in double.parameters()]
    x, dy = torch.randn(T, B, I, dtype=torch.float64), torch.randn(T, B, H, dtype=torch.float64)
    state, dlast = (torch.randn(S, num_layers, B, H, dtype=torch.float64) for _ in range(2))
    for dtype in (torch.float64, torch.float32):
        layer = CELLS[cell](I, H, num_layers=num_layers, dtype=dtype)
        with torch.no_grad():
            for p, value in zip(layer.parameters(), parameters, strict=True):
                p.copy_(value)
        x_, dy_, state_, dlast_ = (v.to(dtype).clone() for v in (x, dy, state, dlast))
        x_.requires_grad_()
        state_.requires_grad_()
        y, last = layer(x_, tuple(state_) if S == 2 else state_[0])
        last = torch.stack(last) if S == 2 else last[None]
        ((y * dy_).sum() + (last * dlast_).sum()).backward()
        key = f"{num_layers}-{str(dtype).removeprefix('torch.')}-"
        tensors = {"x": x_, "state": state_, "y": y, "last": last, "dy": dy_, "dlast": dlast_}
        tensors |= {"dx": x_.grad, "dstate": state_.grad}
        yield key + "seed", np.array(seed)
        yield key + "layout", layout_of(layer.named_parameters())
        yield key + "parameters", flat(layer.parameters())
        yield key + "gradients", flat(p.grad for p in layer.parameters())
        for name, tensor in tensors.items():
            yield key + name, tensor.detach().numpy()


class Model(torch.nn.Module):
    def __init__(self, cell, dtype):
        super().__init__()
        V, E, H = (TRAINING[key] for key in ("vocabulary_size", "embedding_size", "hidden_size"))
        self.embedding = torch.nn.Embedding(V, E, dtype=dtype)
        self.rnn = CELLS[cell](E, H, dtype=dtype)
        self.head = torch.nn.Linear(H, V, dtype=dtype)

    def forward(self, tokens, state):
        y, state = self.rnn(self.embedding(tokens), state)
        return self.head(y), state


def detached(state):
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def make_tokens(seed):
    """Streams with something to learn: a walk of steps +1 or +2, now and then a jump."""
    rng = np.random.default_rng(seed)
    length = TRAINING["steps"] * TRAINING["window"] + 1
    moves = rng.choice([1, 2, 5], p=[0.6, 0.3, 0.1], size=(TRAINING["streams"], length))
    return (moves.cumsum(axis=1) % TRAINING["vocabulary_size"]).astype(np.uint8)


def trained(cell, optimizer, tokens, parameters, dtype):
    """Losses and gradient norms (before clipping) of all steps."""
    model = Model(cell, dtype)
    with torch.no_grad():
        for p, value in zip(model.parameters(), parameters, strict=True):
            p.copy_(value)
    options = TRAINING[optimizer]
    if optimizer == "sgd":
        update = torch.optim.SGD(model.parameters(), lr=options["learning_rate"], momentum=options["momentum"])
    else:
        update = torch.optim.Adam(model.parameters(), lr=options["learning_rate"])
    tokens = torch.from_numpy(tokens.astype(np.int64)).T  # (N+1, B)
    k, state, losses, norms = TRAINING["window"], None, [], []
    for start in range(0, TRAINING["steps"] * k, k):
        logits, state = model(tokens[start : start + k], state)
        state = detached(state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[start + 1 : start + k + 1].flatten())
        update.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), TRAINING["clip_norm"]).item())
        update.step()
        losses.append(loss.item())
    return np.array(losses), np.array(norms)


def trainings(tokens):
    yield "settings", np.array(json.dumps(TRAINING))
    yield "tokens", tokens
    for number, cell in enumerate(CELLS):
        torch.manual_seed(100 + number)
        model = Model(cell, torch.float64)
        # Rounded to float32, so that both dtypes start from the same numbers.
        parameters = [torch.empty_like(p).uniform_(-0.5, 0.5).float().double() for p in model.parameters()]
        yield f"{cell}-layout", layout_of(model.named_parameters())
        yield f"{cell}-parameters", flat(parameters).astype(np.float32)
        for optimizer in ("sgd", "adam"):
            for dtype in (torch.float64, torch.float32):
                losses, norms = trained(cell, optimizer, tokens, parameters, dtype)
                key = f"{cell}-{optimizer}-{str(dtype).removeprefix('torch.')}"
                yield key + "-losses", losses
                yield key + "-norms", norms


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number, cell in enumerate(CELLS):
        arrays = {}
        for num_layers in SHAPES:
            arrays.update(sequences(cell, num_layers, seed=10 * number + num_layers))
        np.savez_compressed(HERE / f"{cell}.npz", **arrays)
    np.savez_compressed(HERE / "training.npz", **dict(trainings(make_tokens(seed=7))))
    for path in sorted(HERE.glob("*.npz")):
        print(f"{path.name:16} {path.stat().st_size:8,} bytes")
