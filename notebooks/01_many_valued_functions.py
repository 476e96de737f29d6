# %% [markdown]
# # Many-valued functions: why a network should predict a density
#
# A network that is trained on squared error learns the *mean* of the target at each input. Where
# one input has several answers, the mean may be an answer that never occurs. A **mixture density
# network** (MDN; Bishop 1994) predicts a whole density instead: for each input x the weights,
# means and standard deviations of K normal distributions,
#
# $$p(y \mid x) = \sum_{k=1}^{K} w_k(x)\, \mathcal N\!\left(y \mid \mu_k(x), \sigma_k(x)^2\right),$$
#
# and is trained to give the observed targets a high density.
#
# The problem and the course of this notebook follow David Ha, *Mixture Density Networks with
# TensorFlow* (2015), https://blog.otoro.net/2015/11/24/mixture-density-networks-with-tensorflow/;
# the text and the code are new.

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

# %% [markdown]
# ## One answer: a plain network is enough
#
# The curve is $y = 7 \sin(0.75 x) + 0.5 x$ with standard normal noise; 1000 points. A hidden layer
# of 20 tanh units and the squared error follow it without trouble.


# %%
def plain_network(x, y):
    """Return a network of 20 tanh units, trained on the squared error with all rows in a step."""
    tf_keras.utils.set_random_seed(0)
    network = tf_keras.Sequential(
        [
            tf_keras.Input((1,)),
            tf_keras.layers.Dense(20, "tanh", kernel_initializer="random_normal"),
            tf_keras.layers.Dense(1),
        ]
    )
    # 2000 steps, 100 at a time: Keras' own work between the steps would take longer than they do.
    network.compile(tf_keras.optimizers.Adam(0.02), "mse", steps_per_execution=100)
    rows = tf.data.Dataset.from_tensors((x, y)).repeat()
    network.fit(rows, steps_per_epoch=100, epochs=20, verbose=0)
    return network


def plot_fit(ax, x, y, grid, prediction, title):
    ax.plot(x, y, "o", color="0.3", markersize=3, alpha=0.4, markeredgewidth=0, label="data")
    ax.plot(grid, prediction, color="tab:red", linewidth=2.5, label="network")
    ax.set(title=title, xlabel="x", ylabel="y")


forward_x, forward_y = datasets.sinusoid().sample(1000, rng=1)
forward_grid = np.linspace(-10.5, 10.5, 400)[:, np.newaxis]
forward_network = plain_network(forward_x, forward_y)

# %% [markdown]
# ## Several answers: the same network averages them
#
# Now the axes are swapped: given the height of the curve, where along it are we? For most inputs
# there are three or five answers. The network is the same, and so is the training.

# %%
problem = datasets.inverse_sinusoid(10.5)
x, y = problem.sample(1000, rng=1)
x_test, y_test = problem.sample(20_000, rng=2)
grid = np.linspace(*problem.x_range, 400)[:, np.newaxis]
inverse_network = plain_network(x, y)

_, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
forward_prediction = forward_network.predict(forward_grid, verbose=0)
inverse_prediction = inverse_network.predict(grid, verbose=0)
plot_fit(axes[0], forward_x, forward_y, forward_grid, forward_prediction, "One answer per input")
plot_fit(axes[1], x, y, grid, inverse_prediction, "Several answers per input")
axes[0].legend()
plt.show()

# %% [markdown]
# On the right the line runs *between* the branches: it is close to the conditional mean, which is
# the best that a single number can do, and there is hardly any data on it.
#
# ## A mixture density network in plain Keras
#
# Two hidden layers (64 and 128 relu units) and three linear layers: logits of the weights, means,
# and logarithms of the standard deviations of 12 components. `DistributionLambda`, a layer of
# TensorFlow Probability, turns these numbers into a distribution, so the loss is one line:
# $-\log p(y \mid x)$. Adam with learning rate 0.01 takes 2500 steps, each on all 1000 rows.
#
# (The post's own network is smaller, 24 tanh units and 24 components. This one learns faster, and
# shows more clearly what goes wrong when nothing holds it back.)


# %%
def mixture(parameters):
    """Turn 3 K numbers a row into a mixture of K normal distributions."""
    logits, means, log_scales = tf.split(parameters, 3, axis=-1)
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits=logits), tfd.Normal(means, tf.exp(log_scales))
    )


tf_keras.utils.set_random_seed(0)
inputs = tf_keras.Input((1,))
hidden = tf_keras.layers.Dense(64, "relu")(inputs)
hidden = tf_keras.layers.Dense(128, "relu")(hidden)
parts = [tf_keras.layers.Dense(12)(hidden) for _ in range(3)]
outputs = tfp.layers.DistributionLambda(mixture)(tf_keras.layers.Concatenate()(parts))
plain_mdn = tf_keras.Model(inputs, outputs)

plain_mdn.compile(
    tf_keras.optimizers.Adam(0.01), tfp_mdn.negative_log_likelihood, steps_per_execution=50
)
all_rows = tf.data.Dataset.from_tensors((x, y)).repeat()
history = plain_mdn.fit(
    all_rows,
    steps_per_epoch=50,
    epochs=50,
    validation_data=(x_test[:5000], y_test[:5000]),
    validation_batch_size=5000,
    verbose=0,
)
steps = np.arange(50, 2501, 50)
plotting.plot_history({"step": steps, **history.history}, entropy=problem.entropy())
plt.show()

# %% [markdown]
# The dashed line is the *entropy* of y given x, about 1.288 nats: the score of the true density,
# which no model can beat on fresh data. For the problems in `tfp_mdn.datasets` it is known.
#
# "Held out" is the loss on 5000 fresh rows, which no training step sees. It stops falling early
# and then rises, while the training loss falls even below the entropy: the network learns the 1000
# rows by heart.
#
# `extract_parameters` reads weights, means and variances off any such model. Ten samples at each
# input show what was learned.

# %%
plain_parameters = tfp_mdn.extract_parameters(plain_mdn, grid)
plotting.plot_samples(grid, plain_parameters.sample(10, rng=0), data=(x, y))
plt.show()

# %% [markdown]
# The samples follow all branches. (The few points beyond |x| = 13 have no data near them.) What is
# wrong with this model is hard to see in samples; it will show in the density below.
#
# ## The same with `build_mdn`
#
# A smaller network does better with a few precautions:
#
# - x and y in standard units (the mixture layer keeps the scale, so `model(x)` is in units of y);
# - components that start spread over the targets (`start_from_targets`), so that none is lost;
# - a floor under the standard deviations, so that no row can raise the likelihood without end;
# - a learning rate that warms up and then falls to zero, and an average over the last weights;
# - a tenth of the training rows held out: the averaged weights that are best on them are kept.
#
# `fit_mdn` takes data and callbacks as `model.fit` does, and runs whole epochs in one compiled
# call.

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
plotting.plot_samples(grid, parameters.sample(10, rng=0), data=(x, y))
plt.show()

# %% [markdown]
# The samples look much like those above. The densities differ:

# %%
_, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
same = {"y": np.linspace(-12, 12, 1000), "vmax": 1.5}
plotting.plot_density(grid, plain_parameters, **same, colorbar=False, ax=axes[0])
plotting.plot_density(grid, parameters, **same, ylabel="", ax=axes[1])
axes[0].set_title("Plain Keras, 64-128 units, 12 components")
axes[1].set_title("build_mdn, 32-32-32 units, 10 components")
plt.show()

# %% [markdown]
# On the left the branches have knots and gaps where single training rows were learned by heart, and
# a row that falls into a gap costs many nats. On the right they are smooth.
#
# Data, the network with a single answer, and the one with a density, side by side:

# %%
axes = plotting.plot_comparison(grid, parameters, data=(x, y), squared_error=inverse_prediction)
axes[0].figure.savefig("many_values.png", dpi=100)
plt.show()

# %% [markdown]
# `MDNRegressor` wraps these steps in the interface of scikit-learn. It trains five networks at
# once, each judged on rows of its own, and merges them into one mixture; the noise that it adds to
# the training rows, and how fine a network may see its inputs, follow from how the data scatter.
#
# ## Scores
#
# Mean negative log density of 20 000 fresh rows, in nats; lower is better.

# %%
regressor = tfp_mdn.MDNRegressor(random_state=0).fit(x, y)
nll = {
    "document": -tfp_mdn.extract_parameters(plain_mdn, x_test).log_prob(y_test).mean(),
    "build_mdn": -tfp_mdn.extract_parameters(model, x_test).log_prob(y_test).mean(),
    "MDNRegressor": -regressor.log_prob(x_test, y_test).mean(),
}
labels = {
    "document": "plain Keras: 64-128 relu, 12 components, 2500 full-batch steps",
    "build_mdn": "`build_mdn` and the recipe above",
    "MDNRegressor": "`MDNRegressor()`",
}
show_scores("inverse sinusoid, 1000 rows", problem.entropy(), nll, labels)
