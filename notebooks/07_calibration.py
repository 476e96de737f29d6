# %% [markdown]
# # Calibration: can the densities be believed?
#
# A density says how sure the model is. Whether it has a right to be so sure, only targets can tell
# that it was not fitted to. This notebook shows what to look at, first with forecasts whose faults
# are known, then with two networks, and how a faulty one can be mended.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tfp_mdn
from tfp_mdn import MixtureParameters, conformal, datasets, plotting

plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## Five forecasters
#
# $y = 7 \sin(0.75 x) + 0.5 x$ with standard normal noise, so the right density is known. Four more
# forecasters are wrong in one way each: too narrow, too wide, half a unit too low, and one that
# never looks at x and always gives the distribution of all targets.

# %%
x, y = datasets.sinusoid().sample(2000, rng=0)
curve, ones = 7 * np.sin(0.75 * x) + 0.5 * x, np.ones_like(x)
# Thirty components at the quantiles of y: its distribution over all x.
marginal = np.quantile(y, (np.arange(30) + 0.5) / 30)

forecasts = {
    "right": MixtureParameters(ones, curve, ones),
    "too narrow": MixtureParameters(ones, curve, 0.6**2 * ones),
    "too wide": MixtureParameters(ones, curve, 1.6**2 * ones),
    "too low": MixtureParameters(ones, curve - 0.5, ones),
    "blind": MixtureParameters(
        ones @ np.full((1, 30), 1 / 30), ones * marginal, ones @ np.ones((1, 30))
    ),
}

# %% [markdown]
# The **PIT value** of a target is the probability that its density gives to smaller values, $F(y
# \mid x)$. If the densities are right, PIT values are uniform: a tenth of the targets lies in the
# lowest tenth of its density, and so on. The grey band holds 95 % of the bars of a calibrated
# forecast. The **coverage** below asks the same of intervals: does the 90 % interval hold 90 % of
# the targets?

# %%
_, axes = plt.subplots(2, 5, figsize=(17, 7), layout="constrained")
for (name, forecast), (above, below) in zip(forecasts.items(), axes.T, strict=True):
    plotting.plot_pit(forecast, y, num_bins=20, ax=above)
    plotting.plot_coverage(forecast, y, ax=below)
    above.set(title=name, ylim=(0, 4))
    below.set(title="")
plt.show()

# %% [markdown]
# Each fault has its sign. Densities that are too narrow leave too many targets in the tails: a
# bowl, and a curve below the diagonal. Too wide is the reverse. A bias tilts the histogram.
#
# The blind forecaster looks perfect! Averaged over all x, what it says is true. Calibration is
# needed, and it is not enough: among calibrated forecasts the *sharpest* is the best, the one with
# the narrowest densities (Gneiting, Balabdaoui & Raftery 2007,
# https://doi.org/10.1111/j.1467-9868.2007.00587.x). The log score and the CRPS reward both at once.
# `calibration_report` says all of it:

# %%
print("forecast     stddev   NLL    CRPS   verdict")
for name, forecast in forecasts.items():
    report = tfp_mdn.calibration_report(forecast, y)
    numbers = f"{report.margins[0].mean_stddev:6.2f} {report.mean_log_score:6.3f}"
    print(f"{name:11s} {numbers}  {report.margins[0].mean_crps:6.3f}   {report.verdict}")

# %% [markdown]
# ## Two networks on 300 rows
#
# Now densities that were learned, on the inverse sinusoid. One network goes 600 times through all
# of its 300 rows and nothing holds it back. The other is `MDNRegressor()`, which judges itself on
# rows that it keeps apart. The report is on 1000 fresh rows.

# %%
problem = datasets.inverse_sinusoid()
x, y = problem.sample(300, rng=0)
x_test, y_test = problem.sample(1000, rng=1)

memoriser = tfp_mdn.build_mdn(10, input_size=1, loc=y.mean(), scale=y.std(), seed=0)
tfp_mdn.initializers.start_from_targets(memoriser, y)
history = tfp_mdn.fit_mdn(memoriser, x, y, epochs=600, seed=0)
regressor = tfp_mdn.MDNRegressor(random_state=0).fit(x, y)

learned = {
    "memoriser": tfp_mdn.extract_parameters(memoriser, x_test),
    "MDNRegressor": regressor.predict_parameters(x_test),
}
reports = {name: tfp_mdn.calibration_report(forecast, y_test) for name, forecast in learned.items()}
for name, report in reports.items():
    print(f"{name:13s} NLL {report.mean_log_score:.3f}, {report.verdict}")
print(f"\n{reports['memoriser']}")

# %%
_, axes = plt.subplots(1, 4, figsize=(15, 4), layout="constrained")
for (name, forecast), (left, right) in zip(learned.items(), axes.reshape(2, 2), strict=True):
    plotting.plot_pit(forecast, y_test, ax=left)
    plotting.plot_coverage(forecast, y_test, ax=right)
    left.set(title=f"{name}: PIT", ylim=(0, 2.6))
    right.set(title=f"{name}: coverage")
plt.show()

# %% [markdown]
# The memoriser is over-confident. Highest-density regions show it more than central intervals do:
# where a density has several branches, a central interval spans the gaps between them, and misses
# little even if each branch is far too narrow. `MDNRegressor` is 0.2 nats better, and errs less, to
# the cautious side: from 300 rows it makes densities that are a little too wide.
#
# ## Mending by conformal prediction
#
# If the model cannot be trained anew, its regions can still be made to keep their promise. Split
# conformal calibration takes rows that the model has not seen, looks how far out in its own density
# each target lies, and widens (or narrows) all regions until the wanted share is inside. For a new
# row of the same kind the coverage is then *guaranteed*, however bad the model is.

# %%
x_calibration, y_calibration = problem.sample(300, rng=2)
calibration = {
    "memoriser": tfp_mdn.extract_parameters(memoriser, x_calibration),
    "MDNRegressor": regressor.predict_parameters(x_calibration),
}


def shown(name, regions):
    """Print the share of the test targets inside, and the mean length of the regions."""
    inside = [
        ((region[:, 0] <= target) & (target <= region[:, 1])).any()
        for region, target in zip(regions, y_test[:, 0], strict=True)
    ]
    length = np.mean([np.diff(region, axis=1).sum() for region in regions])
    print(f"{name:26s} holds {np.mean(inside):.1%} of the targets, mean length {length:.2f}")


mended = {
    name: conformal.calibrate_regions(forecast, y_calibration, coverage=0.9)
    for name, forecast in calibration.items()
}
for name, forecast in learned.items():
    shown(name, forecast.highest_density_region(0.9))
    shown(f"{name}, conformal", mended[name].region(forecast))

# %% [markdown]
# Both now hold about 90 %, give or take what 300 calibration rows and 1000 test rows leave open.
# The memoriser's regions had to grow, the other's could shrink, and are shorter in the end.
# Conformal calibration mends the size of a region, not its place: first train well, then calibrate.
#
# The guarantee is one on average over x. At one x the coverage may be less, and at another more.
# Here it is in four ranges of x, from left to right; with 250 test rows in each, chance moves these
# numbers by about two points.

# %%
edges = np.quantile(x_test, [0, 0.25, 0.5, 0.75, 1])
for name, forecast in learned.items():
    inside = mended[name].contains(forecast, y_test)
    part = np.digitize(x_test[:, 0], edges[1:-1])
    print(f"{name:13s}", *(f"{inside[part == i].mean():.0%}" for i in range(4)))
