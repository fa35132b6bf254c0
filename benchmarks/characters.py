"""The character model side by side with PyTorch: whole training steps, and sampling.

A training step is everything between two windows of tokens: embedding, LSTM, head, softmax and cross-entropy, the way
back, clipping of the norm, Adam; the state is carried. Ours is `Trainer.run` on a chunk of windows, in one compiled
call; PyTorch's is the loop that its users write, with the fastest of its three Adams here. Sampling draws one
character after the other at batch 1, from softmax(logits / temperature); ours is `bptt.text.sampling.generate`,
PyTorch's the loop in inference mode over an nn.LSTM or an nn.LSTMCell, with the number of threads that is fastest.

Before anything is timed, the losses of the first windows have to agree (without dropout, whose masks each side draws
for itself), and the log-probabilities of a sampled text. `side_by_side.py` says how the samples are taken.

    python benchmarks/characters.py                  # about 1 minute
    python benchmarks/characters.py --check          # exit code 1 where a mark is missed
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import bptt
from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import Trainer
from bptt.text.sampling import generate
from bptt.training.optimizers import Adam
from side_by_side import Comparison, Table, agree, in_turns, marked, options, pytorch, verdict, warn_if_busy

V, E, RATE, CLIP = 65, 64, 2e-3, 1.0
TEMPERATURE, LENGTH = 0.8, 500
AGREEMENT = 1e-4  # nats
CHECKED_WINDOWS, CHECKED_LENGTH = 20, 100
# PyTorch's three ways of the same update.
ADAMS: dict[str, dict[str, bool]] = {
    "a loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}


class Setting(NamedTuple):
    """A training run; `windows` of them make a chunk of some 50 to 100 ms."""

    B: int
    T: int
    H: int
    dropout: float  # on the LSTM's output
    windows: int
    mark: float

    def __str__(self) -> str:
        return f"{self.B}, {self.T}, {self.H}" + (f", dropout {self.dropout:g}" if self.dropout else "")


# Tiny Shakespeare as in text.py; Karpathy's min-char-rnn (2015), with an LSTM; a small model.
SETTINGS = (Setting(32, 64, 256, 0.2, 5, 1.3), Setting(1, 25, 100, 0.0, 200, 5.0), Setting(16, 50, 64, 0.0, 40, 2.0))
SAMPLED = (100, 256)
# nn.LSTM is what the model is trained with; an nn.LSTMCell with its weights steps faster, but has to be thought of.
SAMPLING_MARKS: dict[str, float | None] = {"LSTM": 20.0, "LSTMCell": None}


def model_of(hidden: int, dropout: float = 0.0, cell: Any = "lstm") -> SequenceModel:
    """Our model; either side starts from its weights."""
    return SequenceModel(cell=cell, vocabulary_size=V, embedding_size=E, hidden_size=hidden, dropout=dropout, seed=0)


def tokens_of(setting: Setting) -> np.ndarray:
    """Random tokens for one chunk, (B, windows * T + 1)."""
    return np.random.default_rng(0).integers(0, V, (setting.B, setting.windows * setting.T + 1)).astype(np.int32)


def ours(setting: Setting) -> Callable[[], np.ndarray]:
    """A function that trains on the chunk and returns the windows' losses."""
    model, tokens = model_of(setting.H, setting.dropout), tokens_of(setting)
    trainer = Trainer(model, streams=setting.B, window=setting.T, optimizer=Adam(), clip_norm=CLIP, seed=0)
    rates = np.full(setting.windows, RATE)
    return lambda: trainer.run(tokens, 0, rates).loss


def peer_of(torch: Any, model: SequenceModel) -> Any:
    """PyTorch's model with the same weights."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(V, E)
            self.rnn = torch.nn.LSTM(E, model.hidden_size)
            self.dropout = torch.nn.Dropout(model.dropout)
            self.head = torch.nn.Linear(model.hidden_size, V)

        def forward(self, tokens: Any, state: Any) -> Any:
            y, state = self.rnn(self.embedding(tokens), state)
            return self.head(self.dropout(y)), state

    peer = Model()
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    return peer


def theirs(torch: Any, setting: Setting, adam: str) -> Callable[[], np.ndarray]:
    """The same as `ours` in PyTorch."""
    peer = peer_of(torch, model_of(setting.H, setting.dropout))
    columns = torch.from_numpy(tokens_of(setting)).long().T.contiguous()
    optimizer = torch.optim.Adam(peer.parameters(), lr=RATE, **ADAMS[adam])
    state = None

    def chunk() -> np.ndarray:
        nonlocal state
        losses = []
        for first in range(0, setting.windows * setting.T, setting.T):
            logits, state = peer(columns[first : first + setting.T], state)
            state = tuple(part.detach() for part in state)
            targets = columns[first + 1 : first + setting.T + 1]
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.parameters(), CLIP)
            optimizer.step()
            losses.append(loss.item())
        return np.array(losses)

    return chunk


def our_sampling(hidden: int) -> Callable[[], Any]:
    """A function that writes LENGTH characters."""
    model, prompt = model_of(hidden), np.zeros(1, np.int32)
    return lambda: generate(model, prompt, LENGTH, TEMPERATURE)


def peer_sampling(torch: Any, hidden: int, module: str, threads: int) -> Callable[[], Any]:
    """The same in PyTorch, stepping an nn.LSTM or an nn.LSTMCell."""
    peer = peer_of(torch, model_of(hidden)).eval()
    cell = torch.nn.LSTMCell(E, hidden)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in peer.rnn.state_dict().items()})

    def lstm_step(token: Any, state: Any) -> Any:
        y, state = peer.rnn(peer.embedding(token[None]), state)
        return peer.head(y[0]), state

    def cell_step(token: Any, state: Any) -> Any:
        h, c = cell(peer.embedding(token), state)
        return peer.head(h), (h, c)

    step = lstm_step if module == "LSTM" else cell_step

    def write() -> Any:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            token, state, written = torch.zeros(1, dtype=torch.long), None, []
            for _ in range(LENGTH):
                logits, state = step(token, state)
                token = torch.multinomial(torch.softmax(logits / TEMPERATURE, -1), 1)[0]
                written.append(token)
            return torch.cat(written)

    return write


def check_sampling(torch: Any, hidden: int) -> float:
    """Largest difference of the log-probabilities of a text that our side wrote."""
    model = model_of(hidden)
    tokens, log_p = generate(model, np.zeros(1, np.int32), CHECKED_LENGTH, TEMPERATURE)
    read = torch.from_numpy(np.concatenate([[0], tokens])).long()[:, None]
    with torch.inference_mode():
        logits, _ = peer_of(torch, model).eval()(read[:-1], None)
        peer_log_p = torch.log_softmax(logits[:, 0], -1).gather(1, read[1:])[:, 0].numpy()
    return agree(f"sampling, H = {hidden}", float(np.abs(log_p - peer_log_p).max()), AGREEMENT)


def fastest(peers: dict[Any, Callable[[], Any]], budget: float) -> Any:
    """The key of the fastest."""
    return list(peers)[int(in_turns(list(peers.values()), budget, least=3).min(axis=0).argmin())]


def compare_training(torch: Any, markdown: bool, budget: float) -> list[str]:
    """Print the table of the training steps; the marks that are missed."""
    columns = {"B, T, H": 24, "bptt ms": 7, "PyTorch ms": 7, "PyTorch's Adam": 8, "bptt characters/s": 9}
    table = Table(columns | {"losses differ by": 7, "ratio": 5, "quartiles": 13, "mark": 10}, markdown)
    missed = []
    for setting in SETTINGS:
        checked = setting._replace(dropout=0.0, windows=CHECKED_WINDOWS)
        apart = np.abs(ours(checked)() - theirs(torch, checked, "a loop")()).max()
        found = agree(f"training, B, T, H = {checked}", float(apart), AGREEMENT)
        peers = {adam: theirs(torch, setting, adam) for adam in ADAMS}
        best = fastest(peers, budget / 4)
        samples = in_turns([ours(setting), peers[best]], budget) / setting.windows
        time = Comparison.of(samples[:, 0], samples[:, 1])
        speed = setting.B * setting.T / time.ours
        mark = marked(setting.mark, time.ratio < setting.mark)
        ms = [f"{1e3 * time.ours:.3f}", f"{1e3 * time.theirs:.3f}"]
        table.row(setting, *ms, best, f"{speed:,.0f}", f"{found:.0e}", f"{time.ratio:.2f}", time.quartiles, mark)
        if time.ratio < setting.mark:
            missed.append(f"training step, B, T, H = {setting}: {time.ratio:.2f}, mark {setting.mark:g}")
    return missed


def compare_sampling(torch: Any, threads: int, markdown: bool, budget: float) -> list[str]:
    """Print the table of sampling; the marks that are missed."""
    columns = {"H": 4, "bptt characters/s": 9, "PyTorch characters/s": 9, "PyTorch's module, threads": 11}
    table = Table(columns | {"log p differ by": 7, "ratio": 5, "quartiles": 13, "mark": 10}, markdown)
    missed = []
    for hidden in SAMPLED:
        found = check_sampling(torch, hidden)
        for module, mark in SAMPLING_MARKS.items():
            peers = {count: peer_sampling(torch, hidden, module, count) for count in sorted({1, threads})}
            best = fastest(peers, budget / 4)
            samples = in_turns([our_sampling(hidden), peers[best]], budget) / LENGTH
            time = Comparison.of(samples[:, 0], samples[:, 1])
            below = mark is not None and time.ratio < mark
            speeds = [f"{1 / time.ours:,.0f}", f"{1 / time.theirs:,.0f}", f"{module}, {best}"]
            table.row(hidden, *speeds, f"{found:.0e}", f"{time.ratio:.1f}", time.quartiles, marked(mark, below))
            if below:
                missed.append(f"sampling, H = {hidden}, nn.{module}: {time.ratio:.1f}, mark {mark:g}")
    return missed


def main(arguments: list[str] | None = None) -> int:
    """Print both tables; returns the exit code."""
    chosen = options(__doc__, budget=6.0).parse_args(arguments)
    warn_if_busy()
    torch = pytorch()
    torch.set_num_threads(chosen.threads)
    bptt.set_num_threads(chosen.threads)

    print(f"\nOne training step, LSTM, E = {E}, V = {V}, {chosen.threads} threads, torch {torch.__version__}\n")
    missed = compare_training(torch, chosen.markdown, chosen.seconds)
    print(f"\nSampling one character at a time, {LENGTH} of them, temperature {TEMPERATURE:g}, the same model\n")
    missed += compare_sampling(torch, chosen.threads, chosen.markdown, chosen.seconds)
    return verdict(missed, chosen.check)


if __name__ == "__main__":
    sys.exit(main())
