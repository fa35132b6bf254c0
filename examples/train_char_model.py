"""A character model from a text to a file and back: train, measure, sample, save, load.

Trains on Python source of the standard library unless given a file:

    python examples/train_char_model.py
    python examples/train_char_model.py my_text.txt --epochs 10
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bptt.text import CharLM, corpus


def main(arguments: list[str] | None = None) -> None:
    """Walk through the life of a model."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("text", type=Path, nargs="?", help="a text file (default: the standard library)")
    parser.add_argument("--characters", type=int, default=500_000, help="how much of the text to use")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--hidden-size", type=int, default=128)
    options = parser.parse_args(arguments)

    text = corpus.read(options.text) if options.text else corpus.standard_library(options.characters)
    text = text[: options.characters]

    lm = CharLM(cell="gru", hidden_size=options.hidden_size, embedding_size=32, dropout=0.1, seed=0)
    lm.fit(text, streams=16, window=64, epochs=options.epochs, learning_rate=4e-3, schedule="cosine")
    print(lm.history[["epoch", "train_nats", "validation_nats", "chars_per_second"]].to_string(index=False))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        lm.save(path)
        again = CharLM.load(path)
    figures = again.evaluate(text[-len(text) // 10 :])
    print(f"\nvalidation: {figures['bits_per_char']:.3f} bits/char over {figures['characters']:,} characters")

    prompt = text[:5]
    print("\n" + prompt + again.sample(prompt=prompt, length=300, temperature=0.7, seed=1))


if __name__ == "__main__":
    main()
