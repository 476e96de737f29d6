# %% [markdown]
# # The parameters of a mixture, and what `predict` returns
#
# The documentation of `tfp.layers.MixtureNormal` (TensorFlow Probability authors,
# https://www.tensorflow.org/probability/api_docs/python/tfp/layers/MixtureNormal) fits a mixture to
# a noisy cardioid in a few lines and stops there. This notebook goes on: how to get weights, means
# and variances out as arrays, and what `predict`, `mean` and `sample` return. Text and code are
# new.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow_probability as tfp
import tf_keras
from scoring import show_scores

import tfp_mdn
from tfp_mdn import datasets, plotting

plt.rcParams["figure.dpi"] = 80

problem = datasets.cardioid()
x, y = problem.sample(2000, rng=1)
x_test, y_test = problem.sample(20_000, rng=2)

# %% [markdown]
# ## The documentation's network
#
# 12 relu units and TensorFlow Probability's own layer: five components, softplus for the standard
# deviations. Adam with learning rate 0.02, batches of 100, 20 epochs; the loss is
# $-\log p(y \mid x)$.

# %%
tf_keras.utils.set_random_seed(0)
stock_model = tf_keras.Sequential(
    [
        tf_keras.Input((1,)),
        tf_keras.layers.Dense(12, "relu"),
        tf_keras.layers.Dense(tfp.layers.MixtureNormal.params_size(5, [1])),
        tfp.layers.MixtureNormal(5, [1]),
    ]
)
stock_model.compile(
    tf_keras.optimizers.Adam(0.02), lambda targets, density: -density.log_prob(targets)
)
history = stock_model.fit(x, y, batch_size=100, epochs=20, verbose=0)
plotting.plot_history(history, entropy=problem.entropy())
plt.show()

# %% [markdown]
# The dashed line is the entropy of y given x: the best score that a model can reach on fresh rows.
#
# ## Weights, means and variances on a grid
#
# `extract_parameters` takes the model and any inputs. N is the number of inputs, K of components,
# D of target dimensions.

# %%
grid = np.linspace(*problem.x_range, 1000)[:, np.newaxis]
stock_parameters = tfp_mdn.extract_parameters(stock_model, grid)
print("weights  ", stock_parameters.weights.shape, "(N, K)")
print("means    ", stock_parameters.means.shape, "(N, K, D)")
print("variances", stock_parameters.variances.shape, "(N, K, D)")

# %% [markdown]
# The same numbers can be read off the distribution that the model returns. The model computes in
# 32 bits, so they agree to about seven digits.

# %%
distribution = stock_model(grid)
weights = distribution.mixture_distribution.probs_parameter()
means = distribution.components_distribution.mean()
variances = distribution.components_distribution.variance()

np.testing.assert_allclose(stock_parameters.weights, weights, rtol=1e-5, atol=1e-7)
np.testing.assert_allclose(stock_parameters.means, means, rtol=1e-5, atol=1e-6)
np.testing.assert_allclose(stock_parameters.variances, variances, rtol=1e-5, atol=1e-7)
assert np.allclose(stock_parameters.weights.sum(axis=1), 1.0)

# %%
plotting.plot_parameters(grid, stock_parameters)
plt.show()

# %% [markdown]
# From the parameters all else follows in closed form: `mean`, `stddev`, `log_prob`, `cdf`, samples.
# The law of total variance, for instance, has two terms: the noise within the components and the
# spread of their means.

# %%
w = stock_parameters.weights[..., np.newaxis]
within = (w * stock_parameters.variances).sum(axis=1)
between = (w * (stock_parameters.means - stock_parameters.mean()[:, np.newaxis]) ** 2).sum(axis=1)
np.testing.assert_allclose(stock_parameters.variance(), within + between)

# %% [markdown]
# ## The same with `build_mdn`
#
# The recipe of `01_many_valued_functions`, where the reasons are given: x and y in standard units,
# components spread over the targets at the start, a learning rate that warms up and falls to zero,
# and averaged weights, of which those are kept that score best on a tenth of the training rows.

# %%
tf_keras.utils.set_random_seed(0)
network = tf_keras.Sequential(
    [
        tf_keras.Input((1,)),
        tf_keras.layers.Rescaling(1 / x.std(), -x.mean() / x.std()),
        *(tf_keras.layers.Dense(32, "gelu") for _ in range(3)),
    ]
)
model = tfp_mdn.build_mdn(10, backbone=network, loc=y.mean(), scale=y.std(), min_scale=1e-3, seed=0)
tfp_mdn.initializers.start_from_targets(model, y)

# 250 epochs of 8 steps: 40 steps of warm-up, then a cosine down to 0.
rate = tf_keras.optimizers.schedules.CosineDecay(0.0, 1960, warmup_target=0.01, warmup_steps=40)
optimizer = tf_keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.995)
model.compile(optimizer, tfp_mdn.negative_log_likelihood)
callbacks = [
    tfp_mdn.callbacks.KeepBestAverage(),
    tf_keras.callbacks.EarlyStopping(patience=50),
]
tfp_mdn.fit_mdn(
    model, x, y, epochs=250, batch_size=256, validation_split=0.1, callbacks=callbacks, seed=0
)
parameters = tfp_mdn.extract_parameters(model, grid)

_, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
same = {"y": np.linspace(*problem.y_range, 1000), "vmax": 2.5}
plotting.plot_density(grid, stock_parameters, **same, colorbar=False, ax=axes[0])
plotting.plot_density(grid, parameters, **same, ylabel="", ax=axes[1])
axes[0].set_title("The documentation's network")
axes[1].set_title("build_mdn")
plt.show()

# %% [markdown]
# ## What `predict` returns
#
# `model.predict` must return an array, so the distribution has to become one. TensorFlow
# Probability's layer draws a *random sample*: two calls disagree. The layer of this library takes
# the *mean*, so `predict` is what a regression would call the prediction, and two calls agree.

# %%
two_calls = [stock_model.predict(grid, verbose=0) for _ in range(2)]
print("tfp.layers.MixtureNormal: largest difference", np.abs(two_calls[0] - two_calls[1]).max())
assert not np.allclose(*two_calls)

two_calls = [model.predict(grid, verbose=0) for _ in range(2)]
print("tfp_mdn.layers.MixtureNormal: largest difference", np.abs(two_calls[0] - two_calls[1]).max())
np.testing.assert_array_equal(*two_calls)
np.testing.assert_allclose(two_calls[0], parameters.mean(), rtol=1e-4, atol=1e-4)

# %% [markdown]
# The mean is a fair answer to "which single number has the least squared error?", and a poor one to
# "what will y be?" when the density has several branches. Samples answer that question.

# %%
_, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained", sharey=True)
panels = {
    "Stock layer, predict: one draw": stock_model.predict(grid, verbose=0),
    "build_mdn, predict: the mean": model.predict(grid, verbose=0),
    "build_mdn, sample: one draw": parameters.sample(1, rng=0)[0],
}
for ax, (title, values) in zip(axes, panels.items(), strict=True):
    ax.plot(x, y, "o", color="0.75", markersize=2, markeredgewidth=0)
    ax.plot(grid, values, "o", color="tab:red", markersize=2.5, markeredgewidth=0)
    ax.set(title=title, xlabel="x")
axes[0].set_ylabel("y")
plt.show()

# %% [markdown]
# ## Scores
#
# Mean negative log density of 20 000 fresh rows, in nats; lower is better.

# %%
regressor = tfp_mdn.MDNRegressor(random_state=0).fit(x, y)
nll = {
    "document": -tfp_mdn.extract_parameters(stock_model, x_test).log_prob(y_test).mean(),
    "build_mdn": -tfp_mdn.extract_parameters(model, x_test).log_prob(y_test).mean(),
    "MDNRegressor": -regressor.log_prob(x_test, y_test).mean(),
}
labels = {
    "document": "the documentation: 12 relu, 5 components, 20 epochs",
    "build_mdn": "`build_mdn` and the recipe above",
    "MDNRegressor": "`MDNRegressor()`",
}
show_scores("cardioid, 2000 rows", problem.entropy(), nll, labels)
