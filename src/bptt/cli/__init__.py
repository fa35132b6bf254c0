"""The command line: `bptt text train`, `bptt text sample`, `bptt text eval`, `bptt forecast`,
`bptt doctor`, `bptt cache`.

Exit codes: 0 success; 1 training that went wrong; 2 bad usage or input; 130 ended by Ctrl-C. Whatever is
wrong is said in one line on standard error. What a command needs is imported inside it, so that `bptt
--help` is quick.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bptt.cli import text
from bptt.cli.doctor import cache, doctor
from bptt.cli.forecast import forecast

__all__ = ["main"]

# The letters that stand for sizes in messages of memory that is out, by command.
SIZES = {"text": "--hidden-size, --streams or --window", "forecast": "--h, or fewer series"}


class Commands(TyperGroup):
    """All commands; the one that Ctrl-C ends says so, unless it has something better to say."""

    def invoke(self, context: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            print("bptt: stopped", file=sys.stderr)
            raise


app = typer.Typer(
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="BPTT_DEBUG=1 shows the traceback of an error.",
)


def _help_alone(context: typer.Context) -> None:
    """A command of which only the name was given shows its help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


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
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version.")
    ] = False,
) -> None:
    """Recurrent networks trained by backpropagation through time."""
    _help_alone(context)


def _fail(code: int, message: str) -> int:
    if os.environ.get("BPTT_DEBUG", "0") not in ("", "0"):
        traceback.print_exc()
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
        words = list(sys.argv[1:] if arguments is None else arguments)
        return _fail(2, f"out of memory: choose smaller sizes ({SIZES.get(next(iter(words), ''), 'see --help')})")
    except ValueError as error:
        return _fail(2, str(error))
    except Exception as error:
        # Typer's own complaints; where their classes live depends on its version.
        if not hasattr(error, "format_message"):
            raise
        return _fail(2, f"{error.format_message().replace('Value error, ', '')} (see --help)")
    finally:
        sys.excepthook = hook  # Typer sets its own
