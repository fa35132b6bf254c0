"""The tree of commands. Each command imports what it needs, so that `bptt --help` is fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bptt.cli import Interrupted, text
from bptt.cli.doctor import cache, doctor
from bptt.cli.forecast import forecast

__all__ = ["app"]


class Group(TyperGroup):
    """Commands that pass Ctrl-C on, while they read their arguments (Typer may import pydantic then) and afterwards."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Read the arguments."""
        with _ctrl_c_handed_on():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _ctrl_c_handed_on():
            return super().invoke(ctx)


@contextmanager
def _ctrl_c_handed_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted from None


app = typer.Typer(
    cls=Group,
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
