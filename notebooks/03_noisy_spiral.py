# %% [markdown]
# # A noisy spiral: squared error against a mixture
#
# The problem and the course follow Luke Wood, *Approximating non-Function Mappings with Mixture
# Density Networks* (Keras code examples, 2023),
# https://keras.io/examples/keras_recipes/approximating_non_function_mappings/. Text and code are
# new. A vertical line meets the two turns of the spiral up to four times, so y is no function of x.

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
# The spiral has an angle that is uniform from 0 to 4π, a radius equal to the angle, and normal
# noise of standard deviation 0.2 on both axes. Both are then mapped to about 0 to 5; the example
# does so by the smallest and largest value of its sample, the library by fixed constants, so that
# training rows and fresh rows are in the same units. There are 10 000 training rows.

# %%
problem = datasets.noisy_spiral(normalise=True)
x, y = problem.sample(10_000, rng=1)
x_test, y_test = problem.sample(20_000, rng=2)
grid = np.linspace(x.min(), x.max(), 500)[:, np.newaxis]

# %% [markdown]
# ## Squared error
#
# Two hidden layers of 128 relu units, trained on the squared error until the loss on 15 % of the
# rows has not fallen for 10 epochs.


# %%
def hidden_layers():
    return [tf_keras.layers.Dense(128, "relu") for _ in range(2)]


tf_keras.utils.set_random_seed(0)
mean_network = tf_keras.Sequential(
    [tf_keras.Input((1,)), *hidden_layers(), tf_keras.layers.Dense(1)]
)
# 67 steps are one epoch of 8500 rows; taking them in one call of the graph only saves time.
mean_network.compile("adam", "mse", steps_per_execution=67)
mean_network.fit(
    x,
    y,
    batch_size=128,
    epochs=300,
    validation_split=0.15,
    callbacks=[tf_keras.callbacks.EarlyStopping(patience=10)],
    verbose=0,
)
squared_error = mean_network.predict(grid, verbose=0)

# %% [markdown]
# ## The example's mixture density network
#
# The same hidden layers, and 20 components whose standard deviations come out of elu(s) + 1 plus a
# tiny constant. Training stops when the *training* loss has not fallen for 10 epochs, and the
# learning rate is divided by 10 when it has not fallen for 5. The example builds the loss by hand;
# here `DistributionLambda` of TensorFlow Probability makes the same mixture.


# %%
def mixture(parameters):
    """Turn 3 K numbers a row into a mixture of K normal distributions."""
    means, scales, logits = tf.split(parameters, 3, axis=-1)
    scales = tf.nn.elu(scales) + 1.0 + tf_keras.backend.epsilon()
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.Normal(means, scales))


tf_keras.utils.set_random_seed(0)
inputs = tf_keras.Input((1,))
hidden = inputs
for layer in hidden_layers():
    hidden = layer(hidden)
parts = [tf_keras.layers.Dense(20)(hidden) for _ in range(3)]
outputs = tfp.layers.DistributionLambda(mixture)(tf_keras.layers.Concatenate()(parts))
example_mdn = tf_keras.Model(inputs, outputs)

example_mdn.compile("adam", tfp_mdn.negative_log_likelihood, steps_per_execution=67)
history = example_mdn.fit(
    x,
    y,
    batch_size=128,
    epochs=300,
    validation_split=0.15,
    callbacks=[
        tf_keras.callbacks.EarlyStopping("loss", patience=10, restore_best_weights=True),
        tf_keras.callbacks.ReduceLROnPlateau("loss", patience=5),
    ],
    verbose=0,
)
ax = plotting.plot_history(history, entropy=problem.entropy())
ax.axhline(-0.1763, color="0.4", linestyle="dotted", label="the example's last val_loss: -0.1763")
ax.legend()
plt.show()

# %% [markdown]
# A negative log-likelihood may be negative: a density is not a probability, and in these units the
# branches are so narrow that it exceeds 1. The example ends at a validation loss of −0.1763. Taken
# alone the number says little. Beside the entropy of y given x, the best possible score of about
# −0.39 nats, it says that 0.2 nats are missing. Samples show where.

# %%
example_parameters = tfp_mdn.extract_parameters(example_mdn, grid)
plotting.plot_comparison(grid, example_parameters, data=(x, y), squared_error=squared_error, rng=0)
plt.show()

# %% [markdown]
# The squared-error network draws the mean of all turns, where there is no data. The mixture finds
# the turns, but its samples crowd at some places, scatter beside the outer arm, and one component
# cuts straight through the inner turn.
#
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

# 140 epochs of 36 steps: 100 steps of warm-up, then a cosine down to 0.
rate = tf_keras.optimizers.schedules.CosineDecay(0.0, 4940, warmup_target=0.01, warmup_steps=100)
optimizer = tf_keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.995)
model.compile(optimizer, tfp_mdn.negative_log_likelihood)
callbacks = [
    tfp_mdn.callbacks.KeepBestAverage(),
    tf_keras.callbacks.EarlyStopping(patience=30),
]
tfp_mdn.fit_mdn(
    model, x, y, epochs=140, batch_size=256, validation_split=0.1, callbacks=callbacks, seed=0
)
parameters = tfp_mdn.extract_parameters(model, grid)

_, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
same = {"y": np.linspace(*problem.y_range, 1000), "vmax": 5.0}
plotting.plot_density(grid, example_parameters, **same, colorbar=False, ax=axes[0])
plotting.plot_density(grid, parameters, **same, ylabel="", ax=axes[1])
axes[0].set_title("The example: 128-128 units, 20 components")
axes[1].set_title("build_mdn: 32-32-32 units, 10 components")
plt.show()

# %% [markdown]
# How many components does each model use? One whose weight stays below 1 % at every input does
# nothing: nothing pulls on it either, so it is lost for good.

# %%
for name, fitted in (("the example", example_parameters), ("build_mdn", parameters)):
    used = int((fitted.weights.max(axis=0) > 0.01).sum())
    print(f"{name}: {used} of {fitted.num_components} components are used")

# %% [markdown]
# ## Scores
#
# Mean negative log density of 20 000 fresh rows, in nats; lower is better.

# %%
regressor = tfp_mdn.MDNRegressor(random_state=0).fit(x, y)
nll = {
    "document": -tfp_mdn.extract_parameters(example_mdn, x_test).log_prob(y_test).mean(),
    "build_mdn": -tfp_mdn.extract_parameters(model, x_test).log_prob(y_test).mean(),
    "MDNRegressor": -regressor.log_prob(x_test, y_test).mean(),
}
labels = {
    "document": "the Keras example: 128-128 relu, 20 components, early stopping",
    "build_mdn": "`build_mdn` and the recipe above",
    "MDNRegressor": "`MDNRegressor()`",
}
show_scores("noisy spiral, 10000 rows", problem.entropy(), nll, labels)
