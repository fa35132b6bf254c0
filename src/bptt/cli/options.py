"""What the commands have in common."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

__all__ = ["STANDARD_STREAM", "Overwrite", "Threads", "check_places", "set_threads"]

# Instead of a file's name: standard input or output.
STANDARD_STREAM = "-"

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that bptt wrote.")]

Threads = Annotated[int | None, typer.Option(help="Threads to use; default: all cores.")]


def set_threads(threads: int | None) -> None:
    """Set what `--threads` gave, if it did."""
    if threads is not None:
        import bptt

        try:
            bptt.set_num_threads(threads)
        except ValueError as error:
            raise ValueError(str(error).replace("n must", "--threads must", 1)) from None


def check_places(inputs: Iterable[str], outputs: Mapping[str, str | None]) -> None:
    """No output is one of the inputs or another output, by whatever name, link or path each is given.

    Parameters
    ----------
    inputs : names of files
    outputs : mapping of option to name of file
        None and "-" stand for no file.

    Raises
    ------
    ValueError
        Naming the option and the file.
    """
    taken = {name: "an input" for name in inputs if name != STANDARD_STREAM}
    for option, name in outputs.items():
        if name is None or name == STANDARD_STREAM:
            continue
        for other, what in taken.items():
            if _is_one_file(name, other):
                raise ValueError(f"{option} {name} is also {what}, which would be lost; choose another name")
        taken[name] = option


def _is_one_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of the two does not exist yet
        return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))
