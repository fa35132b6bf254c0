"""The command line: `bptt text train`, `bptt text sample`, `bptt text eval`, `bptt forecast`,
`bptt doctor`, `bptt cache`.

Exit codes: 0 success; 1 training that went wrong; 2 bad usage or input; 130 ended by Ctrl-C. Whatever is
wrong is said in one line on standard error. What a command needs is imported inside it, so that `bptt
--help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from bptt.cli import text
from bptt.cli.doctor import cache, doctor
from bptt.cli.forecast import forecast

__all__ = ["main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(text.app, name="text", help="Character-level language models.")
app.command()(forecast)
app.command()(doctor)
app.add_typer(cache, name="cache")


def _print_version(wanted: bool) -> None:
    if wanted:
        from bptt import __version__

        print(f"bptt {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version.")
    ] = False,
) -> None:
    """Recurrent networks trained by backpropagation through time."""


def _fail(code: int, message: str) -> int:
    print("bptt: " + " ".join(message.split()), file=sys.stderr)
    return code


def _interrupted() -> int:
    from bptt.numerics import compiling

    compiling.end_at_once(130)
    return 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line without the program's name; None takes the process's own.
    """
    hook = sys.excepthook
    try:
        code = app(args=arguments, prog_name="bptt", standalone_mode=False) or 0
        sys.stdout.flush()
        return _interrupted() if code == 130 else code
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _interrupted()
    except ArithmeticError as error:
        return _fail(1, ". ".join([str(error), *getattr(error, "__notes__", [])]))
    except OSError as error:
        return _fail(2, f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except MemoryError:
        return _fail(2, "out of memory: choose a smaller hidden_size, streams or window")
    except ValueError as error:
        return _fail(2, str(error))
    except Exception as error:
        # Typer's own complaints; where their classes live depends on its version.
        if not hasattr(error, "format_message"):
            raise
        return _fail(2, f"{error.format_message()} (see --help)")
    finally:
        sys.excepthook = hook  # Typer sets its own
