"""The command `completion`: what a shell must run to complete the tool's words."""

from __future__ import annotations

import click

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes commands, options and files.

    \b
    bash: tfp-mdn completion bash > ~/.local/share/bash-completion/completions/tfp-mdn
    zsh:  tfp-mdn completion zsh > ~/.zfunc/_tfp-mdn   (a folder of $fpath)
    fish: tfp-mdn completion fish > ~/.config/fish/completions/tfp-mdn.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        message = f"this version of click knows no completion for {shell}."
        raise click.ClickException(message)
    root = context.find_root()
    script = kind(root.command, {}, "tfp-mdn", "_TFP_MDN_COMPLETE")
    click.echo(script.source_template % script.source_vars())
