"""The command line: `bptt text train`, `bptt text sample`, `bptt text eval`, `bptt forecast`,
`bptt doctor`, `bptt cache`.

Exit codes: 0 success; 1 failed training; 2 bad usage or input; 130 ended by Ctrl-C. Errors are one line on standard
error. Nothing large is imported before `main` runs, which handles Ctrl-C.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # see `bptt`
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Interrupted", "main"]

# The options that set sizes, by command, for messages about memory that does not suffice.
SIZES = {"text": "--hidden-size, --streams or --window", "forecast": "--h, or fewer series"}


class Interrupted(BaseException):
    """Ctrl-C. Typer turns a KeyboardInterrupt into exit code 130, which commands with their own message return, too."""


def _fail(code: int, message: str) -> int:
    if os.environ.get("BPTT_DEBUG", "0") not in ("", "0"):
        import traceback

        traceback.print_exc()
    print("bptt: " + " ".join(message.split()), file=sys.stderr)
    return code


def _interrupted() -> int:
    if (compiling := sys.modules.get("bptt.numerics.compiling")) is not None:
        compiling.end_at_once(130)
    return 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line without the program's name; None takes the process's own.
    """
    hook, code = sys.excepthook, 1
    try:
        from bptt.cli.commands import app

        code = app(args=arguments, prog_name="bptt", standalone_mode=False) or 0
        sys.stdout.flush()
        return _interrupted() if code == 130 else code
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Interrupted, KeyboardInterrupt):
        print("bptt: stopped", file=sys.stderr)
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
        if (compiling := sys.modules.get("bptt.numerics.compiling")) is not None:
            compiling.command_ended(whole=code == 0)
