"""The commands of the shell tool, each imported only when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any, final

import click

__all__ = ["COMMANDS", "LazyCommands"]

# Name of the command: the module in tfp_mdn/cli that has a function of this name, and its help.
COMMANDS = {
    "fit": ("fit", "Train on a table and save the model."),
    "evaluate": ("evaluate", "Score a model on rows that it has not seen."),
    "predict": ("predict", "Add mean, spread, quantiles or mode to a table."),
    "score": ("score", "Score Parquet files of any size, restartable."),
    "sample": ("sample", "Draw targets at random for the rows of a table."),
    "params": ("params", "Write weights, means and variances of the components."),
    "plot": ("plot", "Draw pictures of a model beside a table."),
    "report": ("report", "Write a page on a model, with an explorer."),
    "info": ("info", "Tell what a saved model holds."),
    "export": ("export", "Write a model for TensorFlow, LiteRT or ONNX alone."),
    "serve": ("serve", "Answer over HTTP with the densities of a model."),
    "demo": ("demo", "Do all of it on real data, in half a minute."),
    "completion": ("completion", "Print a script that lets the shell complete words."),
}


@final
class LazyCommands(click.Group):
    """Group of the commands in `COMMANDS`, in that order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None for a name that there is not."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"tfp_mdn.cli.{COMMANDS[cmd_name][0]}")
        command: Any = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
