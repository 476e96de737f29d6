"""The shell tool `tfp-mdn`: from a table to a mixture density network, its parameters, pictures."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import click
except ImportError as error:
    msg = 'the shell tool needs the extra "cli": pip install "tfp-mdn[cli]"'
    raise SystemExit(msg) from error

from tfp_mdn._startup import import_quietly
from tfp_mdn._version import __version__
from tfp_mdn.tables import grid_table, numeric_columns, read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

    from tfp_mdn.estimator import MDNRegressor
    from tfp_mdn.mixture import MixtureParameters

__all__ = ["main"]

_GRID_ROWS = 200  # of the pictures, and of the parameter table of the demonstration
_DEMO_COMPONENTS = 5  # enough for two kinds of eruption
_FULL_PATH = click.Path(path_type=Path)

model_argument = click.argument("model", type=_FULL_PATH)
output_option = click.option(
    "-o", "--output", type=_FULL_PATH, help="File to write; standard output without it."
)
seed_option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tool: an error is one line on standard error and exit code 2."""
    warnings.showwarning = _show_warning
    try:
        code = commands.main(arguments, prog_name="tfp-mdn", standalone_mode=False)
    except click.Abort:
        sys.exit(_complain("interrupted; nothing was written", code=1))
    except click.ClickException as error:
        sys.exit(_complain(error.format_message()))
    except (ValueError, TypeError, OSError, ArithmeticError, ImportError, MemoryError) as error:
        sys.exit(_complain(str(error)))
    sys.exit(code if isinstance(code, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def commands() -> None:
    """Fit mixture density networks to tables, and read what they learned.

    A model answers with a whole density p(y | x) instead of one value.
    """


@commands.command()
@click.argument("data", type=_FULL_PATH)
@click.option(
    "--target", "targets", multiple=True, required=True, help="Column to predict; repeatable."
)
@click.option(
    "--feature", "features", multiple=True, help="Input column; repeatable; default: all."
)
@click.option("-o", "--output", type=_FULL_PATH, required=True, help="Model directory.")
@click.option("--components", type=click.IntRange(1), default=10, show_default=True)
@click.option("--members", type=click.IntRange(1), default=5, help="Networks, merged into one.")
@click.option("--steps", type=click.IntRange(1), help="Training steps; chosen from the rows.")
@seed_option
def fit(
    data: Path,
    targets: tuple[str, ...],
    features: tuple[str, ...],
    output: Path,
    components: int,
    members: int,
    steps: int | None,
    seed: int,
) -> None:
    """Train on the table DATA and save the model as a directory, in place of an older model."""
    table = read_table(data)
    names = features or tuple(name for name in table.columns if name not in targets)
    chosen = [*names, *targets]
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if twice or not names:
        message = f"{', '.join(twice)} is named twice" if twice else "no feature is left"
        raise click.UsageError(f"{data}: {message}.")
    inputs = numeric_columns(table, names, str(data))
    outputs = numeric_columns(table, targets, str(data))
    settings = {"num_components": components, "ensemble_size": members, "num_steps": steps}
    model = _fit(inputs, outputs, output, random_state=seed, **settings)
    click.echo(
        f"{len(table)} rows, {len(names)} feature(s), "
        f"{members} network(s) of {components} components\n"
        f"{_held_out_score(model)}\n"
        f"model written to {output}"
    )


@commands.command()
@model_argument
@click.argument("data", type=_FULL_PATH, required=False)
@click.option("--grid", multiple=True, help="NAME=START:STOP:COUNT or NAME=VALUE, per feature.")
@output_option
def params(model: Path, data: Path | None, grid: tuple[str, ...], output: Path | None) -> None:
    """Write weights, means and variances, a line per row and component, for DATA or a grid."""
    if (data is None) == (not grid):
        raise click.UsageError("give either a table or --grid.")
    table = None if data is None else read_table(data)
    fitted = _load(model)
    names = fitted.feature_names_in_.tolist()
    inputs = grid_table(grid, names) if table is None else numeric_columns(table, names, str(data))
    _write(_parameter_table(inputs, fitted.predict_parameters(inputs)), output)


@commands.command()
@model_argument
@click.argument("data", type=_FULL_PATH)
@output_option
def predict(model: Path, data: Path, output: Path | None) -> None:
    """Add the conditional mean and standard deviation of each target to the table DATA."""
    table = read_table(data)
    fitted = _load(model)
    inputs = numeric_columns(table, fitted.feature_names_in_.tolist(), str(data))
    parameters = fitted.predict_parameters(inputs)
    answers = {
        f"{target}_{word}": values[:, column]
        for word, values in (("mean", parameters.mean()), ("stddev", parameters.stddev()))
        for column, target in enumerate(fitted.target_names_ or ())
    }
    taken = [name for name in answers if name in table.columns]
    if taken:
        raise click.UsageError(f"{data} has a column {', '.join(taken)} already; rename it.")
    _write(table.assign(**answers), output)


@commands.command()
@model_argument
@click.argument("data", type=_FULL_PATH)
@click.option("-o", "--output", type=_FULL_PATH, required=True, help="Directory for the pictures.")
@click.option("--feature", help="Input to vary; the others stay at their medians in DATA.")
@seed_option
def plot(model: Path, data: Path, output: Path, feature: str | None, seed: int) -> None:
    """Draw density, components, parameters, samples and learning curve beside the table DATA."""
    table = read_table(data)
    fitted = _load(model)
    for path in _draw(fitted, table, str(data), output, feature, seed):
        click.echo(path)


@commands.command()
@click.option("-o", "--output", type=_FULL_PATH, default=Path("demo"), show_default=True)
@seed_option
def demo(output: Path, seed: int) -> None:
    """Run all of it on real data: how long Old Faithful erupts, given the wait before.

    After a wait of about 65 minutes eruptions are either short or long, and hardly ever of the
    length between that a mean would predict.
    """
    with as_file(files("tfp_mdn") / "data" / "faithful.csv") as path:
        table = read_table(path)
    inputs = numeric_columns(table, ["waiting"], "Old Faithful")
    outputs = numeric_columns(table, ["eruptions"], "Old Faithful")
    # A single network, whose components can be told apart in a picture.
    settings = {"num_components": _DEMO_COMPONENTS, "ensemble_size": 1}
    model = _fit(inputs, outputs, output / "model", random_state=seed, **settings)
    low, high = inputs["waiting"].min(), inputs["waiting"].max()
    grid = grid_table([f"waiting={low}:{high}:{_GRID_ROWS}"], ["waiting"])
    write_table(_parameter_table(grid, model.predict_parameters(grid)), output / "parameters.csv")
    pictures = _draw(model, table, "Old Faithful", output, None, seed)
    click.echo(
        f"A mixture density network learned {len(table)} eruptions of Old Faithful.\n"
        f"{_held_out_score(model)}\n"
        f"model:      {output / 'model'}\n"
        f"parameters: {output / 'parameters.csv'} ({_GRID_ROWS} waiting times, "
        f"{_DEMO_COMPONENTS} components)"
    )
    for picture in pictures:
        click.echo(f"picture:    {picture}")


def _fit(inputs: pd.DataFrame, outputs: pd.DataFrame, place: Path, **settings: Any) -> MDNRegressor:
    """Train and save a model, once it is known that it can be saved."""
    import_quietly()
    from tfp_mdn.callbacks import ProgressBar
    from tfp_mdn.estimator import MDNRegressor
    from tfp_mdn.persistence import check_place

    check_place(place)
    model = MDNRegressor(**settings)
    bar = ProgressBar()
    try:
        model.fit(inputs, outputs, callbacks=[bar])
    finally:
        bar.close()
    model.save(place)
    return model


def _held_out_score(model: MDNRegressor) -> str:
    best = min(model.history_["val_loss"])
    return f"negative log-likelihood on the rows held out to choose the weights: {best:.4f} nats"


def _load(path: Path) -> MDNRegressor:
    if not path.is_dir():
        message = f"there is no saved model at {path}."
        raise click.UsageError(message)
    import_quietly()
    from tfp_mdn.estimator import MDNRegressor

    model = MDNRegressor.load(path)
    if not hasattr(model, "feature_names_in_") or model.target_names_ is None:
        message = f"{path} was fitted without column names; fit it with tfp-mdn or data frames."
        raise click.UsageError(message)
    return model


def _parameter_table(inputs: pd.DataFrame, parameters: MixtureParameters) -> pd.DataFrame:
    """Return the tidy table of parameters with the inputs of each row beside it."""
    table = parameters.to_dataframe()
    for place, name in enumerate(inputs.columns, start=1):
        free = name if name not in table.columns else f"input_{name}"
        table.insert(place, free, inputs[name].to_numpy()[table["row"]])
    return table


def _draw(
    model: MDNRegressor,
    table: pd.DataFrame,
    source: str,
    output: Path,
    feature: str | None,
    seed: int,
) -> list[Path]:
    """Draw the pictures of a model of one target into a directory; return their paths."""
    import numpy as np
    from matplotlib.figure import Figure

    from tfp_mdn import plotting

    names, targets = model.feature_names_in_.tolist(), model.target_names_ or []
    if len(targets) != 1:
        message = f"the pictures are for one target, the model has {', '.join(targets)}."
        raise click.UsageError(message)
    feature = feature or names[0]
    if feature not in names:
        message = f"--feature {feature!r} is not one of {', '.join(names)}."
        raise click.UsageError(message)
    data = numeric_columns(table, [*names, *targets], source)
    low, high = data[feature].min(), data[feature].max()
    medians = [f"{name}={data[name].median()}" for name in names if name != feature]
    grid = grid_table([f"{feature}={low}:{high}:{_GRID_ROWS}", *medians], names)
    parameters = model.predict_parameters(grid)
    x, points = grid[feature], (data[feature], data[targets[0]])
    at_rows = model.predict_parameters(data[names])
    samples = at_rows.sample(1, np.random.default_rng(seed))
    # A dollar sign would begin a formula.
    xlabel, ylabel = (name.replace("$", r"\$") for name in (feature, targets[0]))
    labels: dict[str, Any] = {"xlabel": xlabel, "ylabel": ylabel}
    curve_labels = dict(labels)
    if medians:
        curve_labels["xlabel"] = f"{xlabel} (the other features at their medians)"

    def canvas(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.4, 4.4)) -> Any:
        return Figure(size, dpi=120, layout="constrained").subplots(rows, columns, squeeze=False)

    drawn = {
        "density": plotting.plot_density(
            x, parameters, data=points, ax=canvas()[0, 0], **curve_labels
        ).figure,
        "components": plotting.plot_components(
            x, parameters, data=points, ax=canvas()[0, 0], **curve_labels
        ).figure,
        "parameters": plotting.plot_parameters(
            x, parameters, axes=canvas(3, 1, (6.4, 8.0))[:, 0], **curve_labels
        )[0].figure,
        "samples": plotting.plot_samples(
            points[0], samples, data=points, axes=canvas(1, 2, (9.6, 4.4))[0], **labels
        )[0].figure,
        "history": plotting.plot_history(model.history_, ax=canvas()[0, 0]).figure,
    }
    output.mkdir(parents=True, exist_ok=True)
    paths = [output / f"{name}.png" for name in drawn]
    for path, figure in zip(paths, drawn.values(), strict=True):
        figure.savefig(path)
    return paths


def _write(table: pd.DataFrame, output: Path | None) -> None:
    if output is None:
        click.echo(table.to_csv(index=False), nl=False)
    else:
        write_table(table, output)
        click.echo(f"{len(table)} lines written to {output}", err=True)


def _complain(message: str, *, code: int = 2) -> int:
    click.echo(f"tfp-mdn: {' '.join(message.split())}", err=True)
    return code


def _show_warning(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        click.echo(f"tfp-mdn: warning: {message}", err=True)
