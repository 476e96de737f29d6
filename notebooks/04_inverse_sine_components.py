# %% [markdown]
# # Inside the mixture: the components of the inverse sinusoid
#
# What do the single components of a mixture density network do? This notebook follows David Ha's
# *Mixture Density Networks with PyTorch*,
# https://github.com/hardmaru/pytorch_notebooks/blob/master/mixture_density_networks.ipynb: one
# hidden layer of 20 tanh units, five components, the inverse sinusoid with 1000 points (the same as
# in `01_many_valued_functions`, so that the scores may be compared). Mike Dusenberry derives the
# loss step by step in *Mixture Density Networks*,
# https://mikedusenberry.com/mixture-density-networks. Text and code are new.

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
x, y = problem.sample(1000, rng=1)
x_test, y_test = problem.sample(20_000, rng=2)
grid = np.linspace(*problem.x_range, 400)[:, np.newaxis]

# %% [markdown]
# ## Five components, 10 000 steps
#
# The means are linear in the hidden units, the standard deviations exponential, the weights a
# softmax. Adam with learning rate 0.001 takes 10 000 steps, each on all rows. PyTorch starts
# weights *and biases* of a layer uniformly within $\pm 1 / \sqrt{\text{inputs}}$; Keras does
# not, so `dense` asks for it.


# %%
def mixture(parameters):
    """Turn 3 K numbers a row into a mixture of K normal distributions."""
    logits, log_scales, means = tf.split(parameters, 3, axis=-1)
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits=logits), tfd.Normal(means, tf.exp(log_scales))
    )


def dense(units, num_inputs, activation=None):
    """Return a layer with PyTorch's start."""
    bound = num_inputs**-0.5
    kernel, bias = (tf_keras.initializers.RandomUniform(-bound, bound) for _ in range(2))
    return tf_keras.layers.Dense(
        units, activation, kernel_initializer=kernel, bias_initializer=bias
    )


tf_keras.utils.set_random_seed(0)
inputs = tf_keras.Input((1,))
hidden = dense(20, 1, "tanh")(inputs)
parts = [dense(5, 20)(hidden) for _ in range(3)]
outputs = tfp.layers.DistributionLambda(mixture)(tf_keras.layers.Concatenate()(parts))
small_mdn = tf_keras.Model(inputs, outputs)

# 100 steps in one call of the graph: Keras' own work between the steps would take longer than they.
small_mdn.compile(
    tf_keras.optimizers.Adam(1e-3), tfp_mdn.negative_log_likelihood, steps_per_execution=100
)
all_rows = tf.data.Dataset.from_tensors((x, y)).repeat()
history = small_mdn.fit(
    all_rows,
    steps_per_epoch=100,
    epochs=100,
    validation_data=(x_test[:5000], y_test[:5000]),
    validation_batch_size=5000,
    verbose=0,
)
steps = np.arange(100, 10_001, 100)
plotting.plot_history({"step": steps, **history.history}, entropy=problem.entropy())
plt.show()

# %% [markdown]
# ### What a training loss says
#
# A published run of the PyTorch notebook prints a training loss of 1.294 near its end. The entropy
# of y given x is 1.288 nats, so this looks like perfection. It is not: the entropy bounds the loss
# on *fresh* rows. On the rows that it was trained on a model can do better than the true density,
# because it fits their accidents too, and every nat gained that way is lost on fresh rows, and
# more. A training loss near the entropy only says that the gain from learning by heart and the
# loss from an imperfect fit happen to be of the same size. The curve "held out", on 5000 fresh
# rows, shows the score that counts.

# %%
plain_parameters = tfp_mdn.extract_parameters(small_mdn, grid)
training_loss = -tfp_mdn.extract_parameters(small_mdn, x).log_prob(y).mean()
held_out_loss = -tfp_mdn.extract_parameters(small_mdn, x_test).log_prob(y_test).mean()
print(f"training rows {training_loss:.3f}, fresh rows {held_out_loss:.3f} nats")

# %% [markdown]
# ### Each component as a band
#
# A line is a component's mean $\mu_k(x)$, the band around it one standard deviation on either
# side. Where a component has little weight it fades out: what it predicts there does not count.

# %%
plotting.plot_components(grid, plain_parameters, data=(x, y))
plt.show()

# %% [markdown]
# There are five branches near x = 0 and five components, so none can be spared. A component that
# serves one branch on the left and another on the right has to change over within a short stretch:
# these are the steep lines near x = 0. The three kinds of parameters, over x:

# %%
plotting.plot_parameters(grid, plain_parameters)
plt.show()

# %% [markdown]
# Lines are thin where a component has less than 1 % of the weight. Near x = 0 all parameters change
# abruptly, and a standard deviation falls far below 0.1, though no branch is that narrow: the
# network has learned a few rows by heart there.
#
# ## Sampling with the Gumbel-max trick
#
# To draw from the mixture, first draw a component, then a value of that component. The first stage
# needs draws from a different categorical distribution at every input. One line does it: if
# $g_k$ are independent draws from the standard Gumbel distribution, then
# $\arg\max_k (\log w_k + g_k)$ is a draw from the categorical distribution with weights $w_k$
# (Gumbel 1954; Maddison, Tarlow & Minka 2014, https://arxiv.org/abs/1411.0030).

# %%
rng = np.random.default_rng(0)
rows = np.repeat(np.arange(len(grid)), 10)
weights, means, variances = (
    array[rows]
    for array in (
        plain_parameters.weights,
        plain_parameters.means[..., 0],
        plain_parameters.variances[..., 0],
    )
)

component = np.argmax(np.log(weights) + rng.gumbel(size=weights.shape), axis=1)
chosen = np.arange(len(rows)), component
by_hand = rng.normal(means[chosen], np.sqrt(variances[chosen]))

# %% [markdown]
# `MixtureParameters.sample` does both stages for all inputs at once (it draws the component from
# one uniform number instead of K Gumbel numbers, which is faster and gives the same distribution):

# %%
samples = plain_parameters.sample(10, rng=0)
_, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharex=True, sharey=True)
plotting.plot_samples(grid[rows], by_hand.reshape(1, -1, 1), axes=axes[:1])
plotting.plot_samples(grid, samples, axes=axes[1:])
axes[0].set_title("Gumbel-max, by hand")
axes[1].set_title("parameters.sample(10)")
plt.show()

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

# 500 epochs of 4 steps: 40 steps of warm-up, then a cosine down to 0.
rate = tf_keras.optimizers.schedules.CosineDecay(0.0, 1960, warmup_target=0.01, warmup_steps=40)
optimizer = tf_keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.995)
model.compile(optimizer, tfp_mdn.negative_log_likelihood)
callbacks = [
    tfp_mdn.callbacks.KeepBestAverage(),
    tf_keras.callbacks.EarlyStopping(patience=100),
]
tfp_mdn.fit_mdn(
    model, x, y, epochs=500, batch_size=256, validation_split=0.1, callbacks=callbacks, seed=0
)
parameters = tfp_mdn.extract_parameters(model, grid)
plotting.plot_components(grid, parameters, data=(x, y))
plt.show()

# %% [markdown]
# Ten components share the branches; a turn of the curve, where the density is not normal at all,
# is put together from several.
#
# ## Scores
#
# Mean negative log density of 20 000 fresh rows, in nats; lower is better.

# %%
regressor = tfp_mdn.MDNRegressor(random_state=0).fit(x, y)
nll = {
    "document": -tfp_mdn.extract_parameters(small_mdn, x_test).log_prob(y_test).mean(),
    "build_mdn": -tfp_mdn.extract_parameters(model, x_test).log_prob(y_test).mean(),
    "MDNRegressor": -regressor.log_prob(x_test, y_test).mean(),
}
labels = {
    "document": "the PyTorch notebook's network: 20 tanh, 5 components, 10000 full-batch steps",
    "build_mdn": "`build_mdn` and the recipe above",
    "MDNRegressor": "`MDNRegressor()`",
}
show_scores("inverse sinusoid, 1000 rows", problem.entropy(), nll, labels)
