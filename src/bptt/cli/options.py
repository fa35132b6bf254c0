"""What the commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Threads", "set_threads"]

Threads = Annotated[int | None, typer.Option(help="Threads to use; default: all cores.")]


def set_threads(threads: int | None) -> None:
    """Set what `--threads` gave, if it did."""
    if threads is not None:
        import bptt

        bptt.set_num_threads(threads)
