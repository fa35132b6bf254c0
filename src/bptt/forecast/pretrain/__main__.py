"""python -m bptt.forecast.pretrain: make the weights of `bptt.forecast.Pretrained` anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from bptt.forecast.fitting.pretrained import PATH, Size
from bptt.forecast.pretrain.training import Recipe, pretrain


def main(
    path: Annotated[Path, typer.Argument(help="The file of the weights.")] = PATH,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Written every minute; if it exists, the training goes on from it.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Updates.")] = Recipe.steps,
    hidden_size: Annotated[int, typer.Option(min=1, help="Units of each layer.")] = Size.hidden_size,
    num_layers: Annotated[int, typer.Option(min=1, help="Recurrent layers.")] = Size.num_layers,
    learning_rate: Annotated[float, typer.Option(help="The largest one.")] = Recipe.learning_rate,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights.")] = 0,
) -> None:
    """Train the pretrained network on random series, from nothing."""
    size = Size(hidden_size=hidden_size, num_layers=num_layers)
    recipe = Recipe(size=size, seed=seed, steps=steps, learning_rate=learning_rate)
    with tqdm(total=steps, unit="step") as bar:

        def tick(done: int, loss: float) -> None:
            bar.update(done - bar.n)
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)

        pretrain(recipe, path, checkpoint=checkpoint, tick=tick)


if __name__ == "__main__":
    typer.run(main)
