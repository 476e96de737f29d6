"""Whether calibrated regions and intervals hold what they promise, and how long they are.

`python benchmarks/conformal.py` does it for three classic problems; `--data FILE ...` adds CSV
files whose last column is the target. One network is fitted once for each data set, on half of its
rows. The other rows are split at random, 200 times, into rows to calibrate on and rows to test.
It is done again with all standard deviations of the network too small, and too large, by a factor
of 1.5. The table shows the share of test rows inside, mean ± standard error over splits, and the
mean length on the target's scale (its standard deviation is 1).

Beside HPD-split and CQR of `tfp_mdn.conformal` stand, on the same splits, two ways of MAPIE: its
CQR, on the quantiles of the same network and with one correction for both ends, so that it should
agree with ours; and its intervals from absolute residuals around the conditional mean, which is
what one gets without a density.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from mapie.regression import ConformalizedQuantileRegressor, SplitConformalRegressor
from sklearn.base import BaseEstimator, RegressorMixin

from benchmarks.scoreboard.data import load_table
from tfp_mdn import MDNRegressor, MixtureParameters, conformal, datasets
from tfp_mdn._validation import FloatArray

FACTORS = (1.0, 1 / 1.5, 1.5)
WAYS = ("HPD-split", "CQR", "MAPIE, CQR", "MAPIE, residuals")
TOY_ROWS = 2000
# Of each split: calibrating and testing on all rows of a large table would only take longer.
MOST_ROWS = 200
# Test rows of each split whose regions are measured.
MEASURED_ROWS = 40


class Column(RegressorMixin, BaseEstimator):
    """A fitted regressor that looks its predictions up: the input is the number of the row."""

    fitted_ = True  # MAPIE warns of estimators without it

    def __init__(self, values: Any) -> None:
        self.values = values

    def fit(self, X: Any, y: Any) -> Column:
        """Return itself; MAPIE asks for the method and does not call it."""
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the predictions of the rows (N, 1)."""
        found: FloatArray = self.values[np.asarray(X)[:, 0]]
        return found


def problems(files: list[Path]) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Yield names, inputs and standardised targets."""
    for problem in (datasets.inverse_sinusoid(), datasets.noisy_spiral(), datasets.cardioid()):
        x, y = problem.sample(TOY_ROWS, rng=0)
        yield problem.name, x, (y[:, 0] - y.mean()) / y.std()
    for path in files:
        name = path.name.removesuffix(".gz").removesuffix(".csv")
        table = load_table(name, path)
        yield name, table.x, (table.y - table.y.mean()) / table.y.std()


def one_split(
    parameters: MixtureParameters, quantiles: FloatArray, y: FloatArray, rows: Any, coverage: float
) -> FloatArray:
    """Return the share inside and the mean length (4, 2) of each way on one split.

    Args:
        parameters: Mixtures of all rows that were held out.
        quantiles: Their lower and upper quantiles and their means, (3, N).
        y: Their targets (N,).
        rows: The rows to calibrate on, and those to test.
        coverage: Probability that is promised.
    """
    fitting, testing = rows
    regions = conformal.calibrate_regions(parameters[fitting], y[fitting], coverage=coverage)
    inside = regions.contains(parameters[testing], y[testing])
    pieces = np.concatenate(regions.region(parameters[testing[:MEASURED_ROWS]]))
    length = np.diff(pieces).sum() / min(MEASURED_ROWS, len(testing))
    result = [(inside.mean(), length)]
    intervals = conformal.calibrate_intervals(parameters[fitting], y[fitting], coverage=coverage)
    columns = [Column(values) for values in quantiles]
    theirs = ConformalizedQuantileRegressor(columns, coverage, prefit=True)
    plain = SplitConformalRegressor(columns[2], confidence_level=coverage, prefit=True)
    for way in (theirs, plain):
        way.conformalize(fitting[:, np.newaxis], y[fitting])
    test = testing[:, np.newaxis]
    for ends in (
        intervals.interval(parameters[testing]),
        theirs.predict_interval(test, symmetric_correction=True)[1][..., 0],
        plain.predict_interval(test)[1][..., 0],
    ):
        held = (ends[:, 0] <= y[testing]) & (y[testing] <= ends[:, 1])
        result.append((held.mean(), np.diff(ends).mean()))
    return np.array(result)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="CSV files")
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--coverage", type=float, default=0.9)
    options = parser.parse_args()
    print(f"Nominal coverage {options.coverage:g}, {options.splits} splits\n")
    heads = " | ".join(f"{way}: inside | length" for way in WAYS)
    print(f"| data | scales | {heads} | ours hold |\n|---|---:|{'---:|' * 2 * len(WAYS)}---|")
    for name, x, y in problems(options.data):
        order = np.random.default_rng(0).permutation(len(y))
        train, pool = np.array_split(order, 2)
        model = MDNRegressor(ensemble_size=1, random_state=0).fit(x[train], y[train])
        fitted, y = model.predict_parameters(x[pool]), y[pool]
        for factor in FACTORS:
            parameters = MixtureParameters(
                fitted.weights, fitted.means, fitted.variances * factor**2
            )
            quantiles = np.vstack([parameters.interval(options.coverage).T, parameters.mean().T])
            size = min(MOST_ROWS, len(y) // 2)
            found = []
            for seed in range(options.splits):
                rows = np.random.default_rng(seed).permutation(len(y))[: 2 * size]
                split = np.split(rows, [size])
                found.append(one_split(parameters, quantiles, y, split, options.coverage))
            table = np.array(found)
            mean = table.mean(axis=0)
            error = table.std(axis=0, ddof=1)[:, 0] / np.sqrt(options.splits)
            cells = " | ".join(
                f"{share:.4f} ± {spread:.4f} | {length:.3f}"
                for (share, length), spread in zip(mean, error, strict=True)
            )
            good = (mean[:2, 0] >= options.coverage - 2.0 * error[:2]).all()
            verdict = "yes" if good else "NO"
            print(f"| {name} | × {factor:.2f} | {cells} | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
