"""The shell tool `tfp-mdn`: from a table to a mixture density network, its parameters, pictures.

How to add a command, `report` for instance:

1. Write `tfp_mdn/cli/report.py` with a function `report` under `@click.command()`. Its docstring is
   the help text: the first sentence says what it does. At its top the module imports only the
   standard library, click and `tfp_mdn.cli.options`; all else (NumPy, pandas, TensorFlow,
   Matplotlib, the library) is imported inside functions, because the tool must answer `--help` and
   complete words at once.
2. Add one line to `COMMANDS` in `tfp_mdn/cli/commands.py`: the name, the module, one line of help.
   Nothing of the module is imported before its command is called or asked for help.
3. Take what several commands have from `tfp_mdn/cli/options.py`. `model_argument` gives the path of
   a model; `open_model(path)` in `tfp_mdn/cli/models.py` then reads its columns and targets without
   TensorFlow, and its `load()` the estimator. `reads_table()` gives `data`, whose
   `rows(saved.columns, saved.targets)` are the rows checked and encoded as the model was fitted.
   `writes_table` gives `output`, whose `write(table)` knows files, formats and standard output.
   Check all that can be wrong before `load()`: it takes seconds.
4. Raise `click.UsageError` or ValueError for what the user can mend (exit code 2). Anything else,
   such as OSError for a full disk, ends with exit code 1. `main` prints each as one line.
5. Results go to standard output with `click.echo`, remarks with `remark` of `tfp_mdn/cli/places.py`
   to standard error, where `quiet_option` silences them. Files appear whole or not at all:
   `tfp_mdn.tables.write_file` writes beside the place, then replaces.
6. Test it in process with `main([...])`; a process of its own costs the start of TensorFlow.
"""

try:
    import click  # noqa: F401  tried here, where the name of the extra can be told

    from tfp_mdn.cli.app import main
except ImportError as error:
    if error.name != "click":
        raise
    msg = 'the shell tool needs the extra "cli": pip install "tfp-mdn[cli]"'
    raise SystemExit(msg) from error
except KeyboardInterrupt as error:
    raise SystemExit("tfp-mdn: interrupted") from error

__all__ = ["main"]
