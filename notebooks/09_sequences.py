# %% [markdown]
# # Sequences: a pen that writes on
#
# Alex Graves (*Generating sequences with recurrent neural networks*, 2013,
# https://arxiv.org/abs/1308.0850) put a mixture at every step of a recurrent network, which then
# predicts where the pen goes next and, fed with its own draws, writes by itself. David Ha and
# Douglas Eck (*A neural representation of sketch drawings*, 2017,
# https://arxiv.org/abs/1704.03477) drew with the same idea, and with temperatures. This notebook
# does it on a small scale, with a script that has only four letters.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tf_keras

import tfp_mdn
from tfp_mdn import plotting, sequences

plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## The script
#
# A letter is a loop of twelve strokes, up or down, small or tall, each with the same chance. It
# begins and ends on the base line, where the pen moves back for a moment before it turns. Nothing
# there tells which letter comes next. The pitch, the advance from one letter to the next, differs
# from line to line, and can only be known from what was written before.

# %%
STROKES = 12  # per letter


def write_line(num_letters, rng):
    """Return the strokes (T, 2) of a line: the offsets from each point of the pen to the next."""
    pitch = rng.uniform(0.4, 0.8)
    angle = np.linspace(0.0, 2.0 * np.pi, STROKES + 1)
    letters = []
    for _ in range(num_letters):
        height, side = rng.choice([0.8, 1.6]), rng.choice([-1.0, 1.0])
        right = pitch * angle - np.sin(angle)
        up = side * height * (1.0 - np.cos(angle))
        letters.append(np.diff(np.stack([right, up], axis=1), axis=0))
    strokes = np.concatenate(letters)
    return strokes + rng.normal(0.0, 0.03, strokes.shape)


def draw(strokes, ax, prompt=0):
    """Draw a line, its first strokes in black if they were given."""
    points = np.cumsum(np.vstack([[0.0, 0.0], strokes]), axis=0)
    ax.plot(*points[prompt:].T, lw=1.2)
    ax.plot(*points[: prompt + 1].T, lw=1.8, color="black")
    ax.set_aspect("equal")
    ax.axis("off")


rng = np.random.default_rng(0)
lines = [write_line(num_letters, rng) for num_letters in rng.integers(3, 9, 400)]

figure, axes = plt.subplots(4, 2, figsize=(10, 5), layout="constrained", sharex=True)
for ax, strokes in zip(axes.flat, lines, strict=False):
    draw(strokes, ax)
figure.suptitle("Eight of 400 lines")
plt.show()

# %% [markdown]
# ## Uneven lengths
#
# Lines of 3 to 8 letters become arrays of one length, padded with zeros. The input at a step is a
# stroke, the target the next one. A `Masking` layer tells the layers after it which steps are
# padding, as far as the loss: there they count nothing, and the mean is over the real steps.
#
# Without such a layer, weights of shape (N, T) do the same: `fit_mdn(..., sample_weight=real)`.
# Keras then divides by all N T steps, so divide `real` by its mean for the mean over real ones.

# %%
padded = tf_keras.utils.pad_sequences(lines, dtype="float64", padding="post")  # (N, T + 1, 2)
real = np.arange(padded.shape[1]) < np.array([[len(strokes)] for strokes in lines])
x = np.where(real[:, 1:, np.newaxis], padded[:, :-1], 0.0)  # the last stroke has no next one
y = padded[:, 1:]
real = real[:, 1:]

backbone = tf_keras.Sequential(
    [
        tf_keras.Input((None, 2)),
        tf_keras.layers.Masking(),
        tf_keras.layers.GRU(
            64,
            return_sequences=True,
            kernel_initializer=tf_keras.initializers.GlorotUniform(seed=0),
            recurrent_initializer=tf_keras.initializers.Orthogonal(seed=0),
        ),
    ]
)
model = tfp_mdn.build_mdn(
    8, event_size=2, backbone=backbone, min_scale=0.01, scale=y[real].std(axis=0), seed=0
)

EPOCHS, BATCH, HELD_OUT = 40, 32, 40
steps = EPOCHS * -(-(len(x) - HELD_OUT) // BATCH)
rate = tf_keras.optimizers.schedules.CosineDecay(1e-2, steps)
model.compile(tf_keras.optimizers.Adam(rate, clipnorm=1.0), tfp_mdn.negative_log_likelihood)
history = tfp_mdn.fit_mdn(
    model,
    x[HELD_OUT:],
    y[HELD_OUT:],
    validation_data=(x[:HELD_OUT], y[:HELD_OUT]),
    epochs=EPOCHS,
    batch_size=BATCH,
    seed=0,
)
plotting.plot_history(history)
plt.show()

# %% [markdown]
# ## One mixture for each step
#
# `extract_parameters` returns the N T steps as rows, in the order of `reshape`: all steps of the
# first line, then those of the second. `reshape` gives the steps back, and a mask selects the real
# ones.

# %%
held_out, steps_of = real[:HELD_OUT], (HELD_OUT, y.shape[1])
parameters = tfp_mdn.extract_parameters(model, x[:HELD_OUT])
weights = parameters.weights.reshape(*steps_of, -1)  # (N, T, K)
means = parameters.means.reshape(*steps_of, -1, 2)  # (N, T, K, D)
nll = -parameters[held_out.ravel()].log_prob(y[:HELD_OUT][held_out])
print(
    f"{nll.mean():.3f} nats a stroke, by `evaluate` {model.evaluate(x[:40], y[:40], verbose=0):.3f}"
)

# %% [markdown]
# Where is the network in doubt? The negative log-likelihood of a stroke depends on its place in the
# letter.

# %%
place = np.broadcast_to(np.arange(1, y.shape[1] + 1) % STROKES, steps_of)[held_out]
by_place = [nll[place == p].mean() for p in range(STROKES)]

figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
axes[0].bar(np.arange(STROKES), by_place, color="tab:gray")
axes[0].set(
    xlabel="stroke of the letter",
    ylabel="negative log-likelihood (nats)",
    title="Doubt along a letter",
)
line = int(np.argmax(held_out.sum(axis=1)))  # the longest
for ax, stroke in zip(axes[1:], (4 * STROKES, 4 * STROKES + 3), strict=True):
    plotting.plot_joint(
        parameters[line * steps_of[1] + stroke - 1],
        data=y[line, stroke - 1],
        components=False,
        ax=ax,
        xlabel="to the right",
        ylabel="up",
    )
    ax.set_title(f"Stroke {stroke % STROKES} of a letter")
plt.show()

# %% [markdown]
# At the first stroke, number 0, the next letter is open, and the density has one mode for the
# letters that go up and one for those that go down; small and tall, whose first strokes are 0.1
# apart, run together here and part at the next stroke. A network trained on squared error would
# answer with the mean, a stroke along the base line that nobody ever wrote. Three strokes on, the
# letter is known, and little more than the tremble of the hand is left, which alone makes
# −4.2 nats.
#
# ## Writing on
#
# `sequences.generate` starts from a few strokes, draws the next one from the mixture, feeds it back
# as input, and so on. The recurrent states are kept, so 100 strokes cost 100 steps, and all steps
# of all lines run in one compiled function. Both temperatures are set to the same value: the lower
# they are, the more often the heaviest component is drawn, and the closer to its mean.

# %%
prompt = lines[line][: 2 * STROKES]
temperatures = (0.1, 0.5, 1.0)
figure, axes = plt.subplots(4, 3, figsize=(13, 6), layout="constrained")
for column, temperature in zip(axes.T, temperatures, strict=True):
    drawn = sequences.generate(
        model,
        prompt,
        6 * STROKES,
        temperature=temperature,
        scale_temperature=temperature,
        num_samples=len(column),
        seed=1,
    )
    for ax, strokes in zip(column, drawn, strict=True):
        draw(np.vstack([prompt, strokes]), ax, prompt=len(prompt))
    column[0].set_title(f"temperatures {temperature:g}")
figure.suptitle("The prompt in black, and four ways to write on")
plt.show()

# %% [markdown]
# Cold, the pen always takes the same turn and writes a tidy row of the same letter. At 1 it draws
# from the density as it was learned: all letters come, and now and then one that went wrong. In
# between it writes all letters, tidily. The pitch of the prompt is kept in all lines.
#
# Where an input is more than the last target, the argument `to_input` makes the one of the other,
# from what is known beforehand for instance.
