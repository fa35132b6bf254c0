"""What the commands have in common."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

__all__ = ["STANDARD_STREAM", "Overwrite", "Threads", "check_json", "check_places", "set_threads", "write_json"]

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


def check_json(path: str | None, overwrite: bool) -> None:
    """Before anything is computed: the file of `--json` may be written."""
    if path is not None and path != STANDARD_STREAM:
        from bptt.files.saving import check_replaceable

        check_replaceable(path, overwrite=overwrite)


def write_json(path: str | None, value: dict[str, Any], overwrite: bool) -> None:
    """Write figures to the file of `--json`, if one was given."""
    from bptt.files.replacing import plain
    from bptt.files.replacing import write_json as write
    from bptt.files.saving import check_replaceable

    if path == STANDARD_STREAM:
        print(json.dumps(plain(value), indent=2))
    elif path is not None:
        check_replaceable(path, overwrite=overwrite)  # again: hours may lie between
        write(path, value)


def _is_one_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of the two does not exist yet
        return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))
