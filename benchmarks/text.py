"""Tiny Shakespeare: the same character model trained here and in PyTorch, or the strongest one that we have.

    python benchmarks/text.py                    # both sides, 15 epochs; a plot and a JSON file in results/
    python benchmarks/text.py --best             # ours alone: the strongest recipe, static and dynamic
    python benchmarks/text.py path/to/text --epochs 2

Both sides train one LSTM of 256 on an embedding of 64: 32 contiguous streams with carried state, windows
of 64, a random offset of the windows per epoch, dropout 0.2 on the LSTM's output, Adam with a rate of
2e-3 that falls to 0 along a cosine, norm clipped at 1, orthogonal recurrent blocks, Glorot input
and head weights, forget bias 1. Each side draws its own initial weights and masks. The last 10% of the text
validate in 8 streams with carried state. Times are wall times of everything from the text to the last
validation, compilation included where nothing is in the cache.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bptt
from bptt.text import CharLM, corpus
from bptt.training.optimizers import AdamW

HERE = Path(__file__).resolve().parent
SOURCE = (
    "Tiny Shakespeare, public domain, is data/tinyshakespeare/input.txt of github.com/karpathy/char-rnn, 1,115,394 "
    "bytes, sha256 86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
)
TEXT = HERE.parents[1] / "shared" / "data" / "text" / "tinyshakespeare.txt"
RESULTS = HERE / "results"

HIDDEN, EMBEDDING, STREAMS, WINDOW, DROPOUT, RATE, CLIP, SPLIT = 256, 64, 32, 64, 0.2, 2e-3, 1.0, 0.1
VALIDATION_STREAMS = 8

# Rates of dynamic evaluation to choose from, on the tail of the training part.
RATES = (1e-4, 3e-4, 1e-3, 2e-3, 3e-3)
# Validation loss on the last 10% of this text, in nats per character.
PUBLISHED = (
    ("GPT, 6 layers of 384, 10.6 M parameters", 1.4697, "nanoGPT, README, shakespeare_char"),
    ("Transformer", 1.547, "Feng et al. 2024, 'Were RNNs all we needed?', arXiv 2410.01201"),
    ("minGRU", 1.548, "the same paper"),
    ("minLSTM", 1.555, "the same paper"),
    ("Mamba", 1.575, "the same paper"),
)


def train_ours(text: str, epochs: int) -> pd.DataFrame:
    """Our side: one row per epoch with seconds (since the start), train_nats, validation_nats."""
    lm = CharLM(cell="lstm", hidden_size=HIDDEN, num_layers=1, embedding_size=EMBEDDING, dropout=DROPOUT, seed=0)
    start = time.perf_counter()
    lm.fit(
        text,
        streams=STREAMS,
        window=WINDOW,
        epochs=epochs,
        optimizer="adam",
        learning_rate=RATE,
        schedule="cosine",
        clip_norm=CLIP,
        validation_split=SPLIT,
    )
    seconds = time.perf_counter() - start
    curve = lm.history[["epoch", "seconds", "characters", "train_nats", "validation_nats"]].copy()
    curve["seconds"] += seconds - curve["seconds"].iloc[-1]
    return curve


def train_theirs(text: str, epochs: int) -> pd.DataFrame:
    """PyTorch's side, written as its users write it: the same columns."""
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self, symbols: int) -> None:
            super().__init__()
            self.embedding = nn.Embedding(symbols, EMBEDDING)
            self.rnn = nn.LSTM(EMBEDDING, HIDDEN)
            self.dropout = nn.Dropout(DROPOUT)
            self.head = nn.Linear(HIDDEN, symbols)
            for name, p in self.rnn.named_parameters():
                for gate, block in enumerate(p.data.chunk(4)):
                    if "weight_hh" in name:
                        nn.init.orthogonal_(block)
                    elif "weight_ih" in name:
                        nn.init.xavier_uniform_(block)
                    else:
                        nn.init.constant_(block, float(gate == 1 and "bias_ih" in name))
            nn.init.xavier_uniform_(self.head.weight)
            nn.init.zeros_(self.head.bias)

        def forward(self, tokens: Any, state: Any) -> Any:
            y, state = self.rnn(self.embedding(tokens), state)
            return self.head(self.dropout(y)), state

    def loss_of(logits: Any, targets: Any) -> Any:
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    start = time.perf_counter()
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    symbols = sorted(set(text))
    code = {symbol: number for number, symbol in enumerate(symbols)}
    train, validation = corpus.split(np.array([code[symbol] for symbol in text], np.int32), SPLIT)
    tokens = torch.tensor(corpus.streams(train, STREAMS)).long().T.contiguous()
    held_out = torch.tensor(corpus.streams(validation, VALIDATION_STREAMS)).long().T.contiguous()

    length = len(tokens) - 1
    offsets = generator.integers(0, WINDOW, size=epochs)
    windows = (length - offsets) // WINDOW
    steps = int(windows.sum())
    model = Model(len(symbols))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    cosine = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: (1 + math.cos(math.pi * n / steps)) / 2)

    def validate() -> float:
        model.eval()
        nats, state = 0.0, None
        with torch.no_grad():
            for first in range(0, len(held_out) - 1, WINDOW):
                window = held_out[first : first + WINDOW + 1]
                logits, state = model(window[:-1], state)
                nats += loss_of(logits, window[1:]).item() * window[1:].numel()
        model.train()
        return nats / held_out[1:].numel()

    rows = []
    for epoch in range(epochs):
        state, total = None, 0.0
        for w in range(windows[epoch]):
            first = int(offsets[epoch]) + w * WINDOW
            logits, state = model(tokens[first : first + WINDOW], state)
            state = tuple(part.detach() for part in state)
            loss = loss_of(logits, tokens[first + 1 : first + WINDOW + 1])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            cosine.step()
            total += loss.item()
        row = {
            "epoch": epoch + 1,
            "characters": int(windows[epoch]) * WINDOW * STREAMS,
            "train_nats": total / int(windows[epoch]),
            "validation_nats": validate(),
        }
        rows.append({**row, "seconds": time.perf_counter() - start})
        print(f"PyTorch epoch {epoch + 1}/{epochs}: {row['validation_nats']:.4f} nats/char", file=sys.stderr)
    return pd.DataFrame(rows)


def compare(text: str, epochs: int, threads: int) -> None:
    """Train both sides; print the two curves and what they took; keep a plot and the numbers."""
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks/text.py compares with PyTorch: install the extra `peers` (make test-peers does)")
    torch.set_num_threads(threads)
    curves = {"bptt": train_ours(text, epochs), "PyTorch": train_theirs(text, epochs)}

    print("| epoch | " + " | ".join(f"{name} nats/char | {name} seconds" for name in curves) + " |")
    print("| --- " * (1 + 2 * len(curves)) + "|")
    for epoch in range(epochs):
        cells = [f"{c['validation_nats'][epoch]:.4f} | {c['seconds'][epoch]:.1f}" for c in curves.values()]
        print(f"| {epoch + 1} | " + " | ".join(cells) + " |")

    summary = {
        name: {
            "best_nats_per_char": float(curve["validation_nats"].min()),
            "seconds": float(curve["seconds"].iloc[-1]),
            "chars_per_second": float(curve["characters"].sum() / curve["seconds"].iloc[-1]),
        }
        for name, curve in curves.items()
    }
    print()
    for name, figures in summary.items():
        print(
            f"{name}: best {figures['best_nats_per_char']:.4f} nats/char, {figures['seconds']:.1f} s, "
            f"{figures['chars_per_second']:,.0f} characters/s"
        )
    ours, theirs = summary["bptt"], summary["PyTorch"]
    difference = ours["best_nats_per_char"] - theirs["best_nats_per_char"]
    print(
        f"Difference of the best losses: {difference:+.4f} nats/char (mark: 0.01); "
        f"PyTorch's wall time / ours: {theirs['seconds'] / ours['seconds']:.2f} (mark: 1)"
    )

    RESULTS.mkdir(exist_ok=True)
    kept = {
        "split": "first 90% train, last 10% validate",
        "sha256": corpus.sha256(text),
        "threads": threads,
        "torch": torch.__version__,
        "summary": summary,
        "curves": {name: curve.to_dict("list") for name, curve in curves.items()},
    }
    (RESULTS / "text.json").write_text(json.dumps(kept, indent=1) + "\n")
    plot(curves, RESULTS / "text.png")


def plot(curves: dict[str, pd.DataFrame], path: Path) -> None:
    """Validation loss of both sides, by epoch and by seconds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, by in zip(axes, ("epoch", "seconds"), strict=True):
        for name, curve in curves.items():
            axis.plot(curve[by], curve["validation_nats"], marker="o", markersize=3, label=name)
        axis.set_xlabel(by)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("validation loss, nats per character")
    axes[0].legend()
    figure.suptitle("Tiny Shakespeare, one LSTM of 256 units, the same settings on both sides")
    figure.savefig(path, dpi=120)
    print(f"plot: {path}")


def train_best(text: str, epochs: int) -> None:
    """Train the strongest recipe; print its static and its dynamic figure beside the published ones."""
    start = time.perf_counter()
    lm = CharLM(cell="lstm", hidden_size=384, num_layers=1, embedding_size=64, dropout=0.4, input_dropout=0.05, seed=0)
    lm.fit(
        text,
        streams=24,
        window=64,
        epochs=epochs,
        optimizer=AdamW(beta1=0.9, beta2=0.99, weight_decay=0.05),
        learning_rate=4e-3,
        schedule="cosine",
        warmup=100,
        clip_norm=1.0,
        average=0.998,
        validation_split=SPLIT,
    )
    train, validation = corpus.split(text, SPLIT)
    static = lm.evaluate(validation)["nats_per_char"]
    trained = time.perf_counter() - start

    tail = train[-len(validation) :]
    tried = {rate: lm.evaluate(tail, dynamic=True, learning_rate=rate)["nats_per_char"] for rate in RATES}
    rate = min(tried, key=lambda rate: tried[rate])
    dynamic = lm.evaluate(validation, dynamic=True, learning_rate=rate)["nats_per_char"]

    size = sum(p.size for p in lm.model.parameters.values()) if lm.model else 0
    rows = [(f"bptt: one LSTM of 384, {size:,} parameters, {trained:.0f} s", static, "this run, static")]
    rows = sorted([*rows, *PUBLISHED], key=lambda row: row[1])
    print("| model | validation nats/char | source |\n| --- | --- | --- |")
    for model, nats, source in rows:
        print(f"| {model} | {nats:.4f} | {source} |")
    print(f"\nMark: at most 1.465 static; here {static:.4f}.")
    print(
        f"""
Dynamic evaluation: {dynamic:.4f} nats/char (mark: at most 1.37).
It is another task than the table's: the model goes on learning from the validation text while it reads
it, each segment scored before it is learnt from. The figure tells how well it adapts, and stands beside
figures of dynamic evaluation only (Krause et al. 2018). The rate {rate:g} is the best of these on the last
{len(tail):,} characters of the training part; the validation text was then read once:"""
    )
    print(", ".join(f"{rate:g}: {nats:.4f}" for rate, nats in tried.items()))


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two benchmarks; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("text", type=Path, nargs="?", default=TEXT, help="a text file (default: tiny Shakespeare)")
    parser.add_argument("--epochs", type=int, help="default: 15, with --best 12")
    parser.add_argument("--threads", type=int, default=2, help="threads of either side")
    parser.add_argument("--best", action="store_true", help="the strongest recipe, ours alone")
    options = parser.parse_args(arguments)

    if not options.text.is_file():
        print(f"skipped: there is no such text (give the path of one). {SOURCE}")
        return 0
    text = corpus.read(options.text)
    bptt.set_num_threads(options.threads)
    if options.best:
        train_best(text, options.epochs or 12)
    else:
        compare(text, options.epochs or 15, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
