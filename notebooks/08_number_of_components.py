# %% [markdown]
# # How many components, and what do they mean?
#
# The number K of components is the first thing that a mixture density network asks for. Too few
# cannot follow the density; too many cost time, and some are not used. This notebook chooses K on
# held-out rows, and then looks at what the components do.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tfp_mdn
from tfp_mdn import datasets, plotting

plt.rcParams["figure.dpi"] = 80

problem = datasets.inverse_sinusoid()
x, y = problem.sample(1000, rng=0)
grid = np.linspace(*problem.x_range, 300)[:, np.newaxis]

# %% [markdown]
# ## Choosing K
#
# The inverse sinusoid has five branches near x = 0, fewer elsewhere. Are five components enough?
# `select_num_components` fits each candidate on the same folds, and scores it on the rows left out.
# Of those within one standard error of the best it takes the smallest: a lead of less may be luck.

# %%
quick = tfp_mdn.MDNRegressor(ensemble_size=1, num_steps=800, random_state=0)
selection = tfp_mdn.select_num_components(
    x, y, (2, 3, 5, 7, 10), cv=3, estimator=quick, random_state=0
)
print(selection)
plotting.plot_selection(selection)
plt.show()

# %% [markdown]
# Below five the score falls steeply: near x = 0 there are five branches, and each needs a
# component. Seven score a little better than five, by less than a standard error: at its turns the
# curve is not normal, and a component to spare helps there. With ten nothing more is gained, and
# nothing lost: held-out rows decide when training stops, so components to spare do no harm. In
# doubt, take more.
#
# ## What each component does
#
# Two models of the same data, with few components and with many. A line is the mean of a component,
# fainter where its weight is small.

# %%
single = {"ensemble_size": 1, "random_state": 0}
few = tfp_mdn.MDNRegressor(6, **single).fit(x, y).predict_parameters(grid)
many = tfp_mdn.MDNRegressor(14, **single).fit(x, y).predict_parameters(grid)

_, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained", sharex=True, sharey=True)
for parameters, (above, below) in zip((few, many), axes.T, strict=True):
    plotting.plot_components(grid, parameters, data=(x, y), ax=above, xlabel="")
    plotting.plot_modes(grid, parameters, min_ratio=0.05, ax=below)
    above.set_title(f"{parameters.num_components} components")
    below.set_title(f"Modes with {parameters.num_components} components")
plt.show()

# %% [markdown]
# It is tempting to give components names, such as "the upper branch". But several may share a
# branch, one may serve two branches at different x, and another number of components divides the
# work anew. What can be named are the *modes* in the lower row: they belong to the density, and not
# to how it is written down.
#
# The bars below are mean weights over x, the marks the largest weight at any x. A component with a
# low bar and a high mark is a specialist for a few inputs; one with neither is not used at all.

# %%
_, axes = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained")
for ax, parameters in zip(axes, (few, many), strict=True):
    plotting.plot_component_usage(parameters, ax=ax)
    ax.set(title=f"{parameters.num_components} components", ylim=(0, 1.05))
plt.show()

# %% [markdown]
# ## Components that die
#
# Without care many components are lost: one that starts far from all data has no weight, so it gets
# no gradient, so it stays where it is. The callback `ComponentUsage` counts them in each epoch.
# `start_from_targets` spreads the components over the targets at the start, and `restart_dead=True`
# gives a dead one half of the heaviest.


# %%
def train(*, spread, restart_dead):
    """Train a network of 20 components without noise or averages, and count the dead ones."""
    model = tfp_mdn.build_mdn(20, hidden_units=(32, 32), input_size=1, seed=0)
    if spread:
        tfp_mdn.initializers.start_from_targets(model, y)
    usage = tfp_mdn.callbacks.ComponentUsage(x, restart_dead=restart_dead, every=20)
    history = tfp_mdn.fit_mdn(model, x, y, epochs=150, callbacks=[usage], seed=0)
    return history.history["dead_components"]


_, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.plot(train(spread=False, restart_dead=False), label="start of Keras")
ax.plot(train(spread=False, restart_dead=True), label="start of Keras, restart_dead")
ax.plot(train(spread=True, restart_dead=False), label="start_from_targets")
ax.set(xlabel="epoch", ylabel="dead components", ylim=(-0.5, 20), title="Dead components of 20")
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# From the start that Keras makes, half of the components are dead after 25 epochs, and stay so.
# Restarts bring them back. Of components that are spread over the targets few die at all;
# `MDNRegressor` starts so.
#
# ## Several targets: one full component or many round ones?
#
# With D targets a component of `covariance_type="diag"` is a normal density whose axes are parallel
# to those of y: given the component, the targets are independent. One of `"full"` has a covariance
# matrix, and may lie aslant. Here two targets are correlated, more so as x grows.

# %%
rng = np.random.default_rng(0)
inputs = rng.uniform(0, 1, (3000, 1))
noise = rng.normal(size=(3000, 2))
correlation = 0.95 * inputs[:, 0]
aslant = correlation * noise[:, 0] + np.sqrt(1 - correlation**2) * noise[:, 1]
targets = np.stack([noise[:, 0], aslant], axis=1)
first, rest = slice(0, 1000), slice(1000, None)

near_one = np.array([[0.95]])
_, axes = plt.subplots(1, 3, figsize=(16, 4), layout="constrained")
for ax, (kind, size) in zip(axes, (("diag", 1), ("diag", 6), ("full", 1)), strict=True):
    joint = tfp_mdn.build_mdn(
        size, 2, hidden_units=(16,), input_size=1, covariance_type=kind, seed=0
    )
    tfp_mdn.initializers.start_from_targets(joint, targets[first])
    tfp_mdn.fit_mdn(joint, inputs[first], targets[first], epochs=60, seed=0)
    nll = -tfp_mdn.extract_parameters(joint, inputs[rest]).log_prob(targets[rest]).mean()
    close = np.abs(inputs[:, 0] - near_one[0, 0]) < 0.05
    parameters = tfp_mdn.extract_parameters(joint, near_one)
    plotting.plot_joint(parameters, data=targets[close], ax=ax, ylabel="")
    ax.set(title=f"{kind}, K = {size}: {nll:.3f} nats on fresh rows", aspect="equal")
    ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
axes[0].set_ylabel("y1")
plt.show()

# %% [markdown]
# One full component does better than six diagonal ones. Use `"full"` where targets depend on each
# other beyond what x explains; its D (D + 1) / 2 numbers a component are its price.
