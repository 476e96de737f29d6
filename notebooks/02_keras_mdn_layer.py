# %% [markdown]
# # A mixture layer for Keras, and the temperature of samples
#
# Charles Martin's package *keras-mdn-layer* (https://github.com/cpmpercussion/keras-mdn-layer) puts
# a mixture layer at the end of a Keras network. This notebook follows the package's introduction,
# *MDN-1D-sine-prediction*, on the inverse sinusoid with 3000 points, and shows what its two
# temperatures do to samples. Text and code are new.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from scoring import show_scores

import tfp_mdn
from tfp_mdn import datasets, plotting

tfd = tfp.distributions
plt.rcParams["figure.dpi"] = 80

problem = datasets.inverse_sinusoid(10.5)
x, y = problem.sample(3000, rng=1)
x_test, y_test = problem.sample(20_000, rng=2)
grid = np.linspace(*problem.x_range, 400)[:, np.newaxis]

# %% [markdown]
# ## The package's network
#
# Two hidden layers of 15 relu units, then three linear layers: means, standard deviations and
# logits of 10 components. Standard deviations must be positive; the package uses elu(s) + 1 plus a
# tiny constant, which is an exponential below zero and a straight line above. Adam with learning
# rate 0.001, batches of 128, 200 epochs, 15 % of the rows for validation. Here the layer is stock
# TensorFlow Probability, so that the model returns a distribution instead of raw numbers.


# %%
def mixture(parameters):
    """Turn 3 K numbers a row into a mixture of K normal distributions."""
    means, scales, logits = tf.split(parameters, 3, axis=-1)
    scales = tf.nn.elu(scales) + 1.0 + tf_keras.backend.epsilon()
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.Normal(means, scales))


tf_keras.utils.set_random_seed(0)
inputs = tf_keras.Input((1,))
hidden = tf_keras.layers.Dense(15, "relu")(inputs)
hidden = tf_keras.layers.Dense(15, "relu")(hidden)
parts = [tf_keras.layers.Dense(10)(hidden) for _ in range(3)]
outputs = tfp.layers.DistributionLambda(mixture)(tf_keras.layers.Concatenate()(parts))
layer_mdn = tf_keras.Model(inputs, outputs)

# 20 steps are one epoch of 2550 rows; taking them in one call of the graph only saves time.
layer_mdn.compile(
    tf_keras.optimizers.Adam(1e-3), tfp_mdn.negative_log_likelihood, steps_per_execution=20
)
history = layer_mdn.fit(x, y, batch_size=128, epochs=200, validation_split=0.15, verbose=0)
plotting.plot_history(history, entropy=problem.entropy())
plt.show()

# %% [markdown]
# The dashed line is the entropy of y given x, 1.288 nats: the best score that any model can reach
# on fresh rows. The loss comes down slowly and flattens out some 0.2 nats above it. Two views show
# where these are lost: the density, and each component's mean with a band of one standard
# deviation, fainter where its weight is small.

# %%
layer_parameters = tfp_mdn.extract_parameters(layer_mdn, grid)
_, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
plotting.plot_density(grid, layer_parameters, ax=axes[0])
plotting.plot_components(grid, layer_parameters, data=(x, y), ylabel="", ax=axes[1])
plt.show()

# %% [markdown]
# Where a branch has a component of its own, the fit is good. But one component jumps from one
# branch to the next across empty space (near x = 3, y = −2), and near x = 0, y = −7 one wide
# component has to serve two branches. Components that are not in the legend have no weight
# anywhere: nothing pulls on them any more, and they are lost.

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

# 220 epochs of 11 steps: 48 steps of warm-up, then a cosine down to 0.
rate = tf_keras.optimizers.schedules.CosineDecay(0.0, 2372, warmup_target=0.01, warmup_steps=48)
optimizer = tf_keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.995)
model.compile(optimizer, tfp_mdn.negative_log_likelihood)
callbacks = [
    tfp_mdn.callbacks.KeepBestAverage(),
    tf_keras.callbacks.EarlyStopping(patience=50),
]
tfp_mdn.fit_mdn(
    model, x, y, epochs=220, batch_size=256, validation_split=0.1, callbacks=callbacks, seed=0
)
parameters = tfp_mdn.extract_parameters(model, grid)

_, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
plotting.plot_density(grid, parameters, ax=axes[0])
plotting.plot_components(grid, parameters, data=(x, y), ylabel="", ax=axes[1])
plt.show()

# %% [markdown]
# ## Temperature
#
# A sample is drawn in two stages: first a component, with the probabilities $w_k$, then a value
# from that component. Each stage has a temperature T:
#
# - `temperature` divides the logits of the weights, so $w_k$ becomes $w_k^{1/T}$, renormalised.
#   Below 1 the heavy components win more often, above 1 all components become alike.
# - `scale_temperature` multiplies the variances, so the standard deviations grow with
#   $\sqrt T$. Below 1 samples lie closer to the means of the components, above 1 farther off.
#
# At 1 samples follow the model's density. Low temperatures give tidier and less varied samples,
# which is wanted when a model writes music or handwriting. They are no longer samples of
# $p(y \mid x)$, so scores and intervals need temperature 1.

# %%
temperatures = (0.5, 1.0, 2.0)
_, axes = plt.subplots(2, 3, figsize=(10, 6.5), layout="constrained", sharex=True, sharey=True)
for column, temperature in enumerate(temperatures):
    options = ({"temperature": temperature}, {"scale_temperature": temperature})
    for ax, option in zip(axes[:, column], options, strict=True):
        samples = parameters.sample(10, rng=0, **option)
        plotting.plot_samples(grid, samples, axes=[ax])
        ax.set(title=", ".join(f"{name} = {value}" for name, value in option.items()))
        ax.set(xlabel="", ylabel="", ylim=(-14, 14))
for ax in axes[1]:
    ax.set_xlabel("x")
for ax in axes[:, 0]:
    ax.set_ylabel("y")
plt.show()

# %% [markdown]
# The upper row changes the weights only: at 0.5 the light components are hardly drawn any more, and
# the samples beyond the turns, which come from them, disappear; at 2 they come back in numbers, and
# points appear where there is no data. The lower row changes the widths only: every draw is of the
# same component in all three panels, and lies closer to its mean or farther from it.
#
# ## Scores
#
# Mean negative log density of 20 000 fresh rows, in nats; lower is better.

# %%
regressor = tfp_mdn.MDNRegressor(random_state=0).fit(x, y)
nll = {
    "document": -tfp_mdn.extract_parameters(layer_mdn, x_test).log_prob(y_test).mean(),
    "build_mdn": -tfp_mdn.extract_parameters(model, x_test).log_prob(y_test).mean(),
    "MDNRegressor": -regressor.log_prob(x_test, y_test).mean(),
}
labels = {
    "document": "keras-mdn-layer's network: 15-15 relu, 10 components, 200 epochs",
    "build_mdn": "`build_mdn` and the recipe above",
    "MDNRegressor": "`MDNRegressor()`",
}
show_scores("inverse sinusoid, 3000 rows", problem.entropy(), nll, labels)
