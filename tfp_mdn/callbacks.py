"""Callbacks for training mixture density networks with tf_keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray, as_real, as_rows, as_whole_number
from tfp_mdn.layers import MixtureHead

__all__ = ["ComponentUsage", "KeepBestAverage", "LossPrinter", "ProgressBar"]


class KeepBestAverage(tf_keras.callbacks.Callback):
    """Validates the running average of the weights, and ends training with the best one seen.

    The model must be compiled with an optimizer that has `use_ema=True`. Averaging takes the
    noise of the last steps out of the weights (Polyak & Juditsky 1992,
    doi:10.1137/0330046); training itself goes on from the weights as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.best_loss = np.inf
        self._best_weights: list[Any] | None = None
        self._current_weights: list[Any] = []

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Put the averages in place of the weights."""
        self._current_weights = self.model.get_weights()
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Remember averages that are the best so far, and put the weights back."""
        loss = (logs or {})["loss"]
        if loss < self.best_loss:
            self.best_loss = loss
            self._best_weights = self.model.get_weights()
        self.model.set_weights(self._current_weights)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the model with the best averages."""
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)


class LossPrinter(tf_keras.callbacks.Callback):
    """Prints the losses of each epoch, as a bar with the time left or as a line.

    Args:
        verbose: 1 for a bar, anything else for a line at each epoch.
        unit_name: What an epoch is called.
    """

    def __init__(self, verbose: int = 1, *, unit_name: str = "epoch") -> None:
        super().__init__()
        self._as_bar, self._unit_name = verbose == 1, unit_name
        self._bar: Any = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Open the bar."""
        self._num_done = 0
        self._bar = tf_keras.utils.Progbar(
            self.params["epochs"], stateful_metrics=["loss", "val_loss"], unit_name=self._unit_name
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Advance the bar, or print the line."""
        logs, self._num_done = logs or {}, epoch + 1
        if self._as_bar:
            self._bar.update(epoch + 1, list(logs.items()))
        else:
            losses = " - ".join(f"{name} {value:.4f}" for name, value in logs.items())
            print(f"{self._unit_name} {epoch + 1}/{self.params['epochs']} - {losses}")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """End the line of a bar that was not filled."""
        if self._as_bar and 0 < self._num_done < self.params["epochs"]:
            self._bar.update(self._num_done, finalize=True)


class ProgressBar(tf_keras.callbacks.Callback):
    """Shows a bar with the losses and the remaining time on a terminal, and nothing elsewhere.

    It needs the package `rich`, which comes with the extra "cli".
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress: Any = None
        self._task: Any = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Open the bar."""
        try:
            from rich import console, progress
        except ImportError as error:
            msg = 'ProgressBar needs the package rich: pip install "tfp-mdn[cli]".'
            raise ImportError(msg) from error
        terminal = console.Console(stderr=True)
        self._progress = progress.Progress(
            progress.TextColumn("training"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[losses]}"),
            progress.TimeRemainingColumn(),
            console=terminal,
            disable=not terminal.is_terminal,
        )
        self._task = self._progress.add_task("", total=self.params["epochs"], losses="")
        self._progress.start()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Advance the bar."""
        logs = logs or {}
        losses = f"loss {logs['loss']:.3f}"
        if "val_loss" in logs:
            losses += f"  held-out {logs['val_loss']:.3f} nats"
        self._progress.update(self._task, completed=epoch + 1, losses=losses)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after training was interrupted."""
        if self._progress is not None:
            self._progress.stop()


class ComponentUsage(tf_keras.callbacks.Callback):
    """Counts dead components at the end of each epoch, and brings them back if asked to.

    A component is dead if its weight, averaged over given inputs, is below a threshold: it explains
    next to nothing, so it has next to no gradient, and mostly stays dead. The logs, and with them
    the history, get `dead_components`, the count before any restart, and with `restart_dead` also
    `restarted_components`.

    A restart splits the component of the largest mean weight in two halves. The dead one becomes a
    copy of it; each gets half its weight at every input, and their means move apart by one of its
    mean standard deviations, along one dimension after the other. So the densities hardly change,
    and the next steps decide what the halves are for. What the optimizer has stored of these
    columns of the last layer, such as Adam's moments, starts from 0 again. There is no restart
    after the last epoch, since nothing would train it.

    Args:
        x: Inputs to average over, (N, F), the training inputs or some of them.
        threshold: Smallest mean weight of a live component, between 0 and 1.
        restart_dead: Whether to bring dead components back. The model must end in `Dense` and a
            mixture layer of `tfp_mdn.layers`.
        every: Epochs from one restart to the next.

    Raises:
        TypeError: If an argument has the wrong type; when training begins, if the model has no
            mixture of which to read the weights, or not those layers.
        ValueError: If a number is out of range.

    Example:
        >>> from tfp_mdn.losses import negative_log_likelihood
        >>> from tfp_mdn.models import build_mdn
        >>> x = np.linspace(-1, 1, 50)[:, np.newaxis]
        >>> model = build_mdn(3, hidden_units=(4,), input_size=1, seed=0)
        >>> model.compile("adam", negative_log_likelihood)
        >>> model.fit(x, x, callbacks=[ComponentUsage(x)], verbose=0).history["dead_components"]
        [0.0]
    """

    def __init__(
        self, x: Any, *, threshold: float = 1e-3, restart_dead: bool = False, every: int = 1
    ) -> None:
        super().__init__()
        self._x = tf.constant(as_rows("x", x), tf_keras.backend.floatx())
        self._threshold = as_real("threshold", threshold, above=0.0, below=1.0)
        if not isinstance(restart_dead, bool):
            msg = f"restart_dead must be True or False, got {restart_dead!r}."
            raise TypeError(msg)
        self._restart_dead = restart_dead
        self._every = as_whole_number("every", every)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Compile what reads the model."""
        if self._restart_dead:
            _check_last_layers(self.model)
        model, x = self.model, self._x

        @tf.function(autograph=False)
        def usage() -> tuple[tf.Tensor, tf.Tensor]:
            distribution = model(x, training=False)
            mixture = getattr(distribution, "tensor_distribution", distribution)
            if not isinstance(mixture, tfp.distributions.MixtureSameFamily):
                msg = (
                    "ComponentUsage needs a model that returns a mixture, got "
                    f"{type(mixture).__name__}. End it in tfp_mdn.layers.MixtureNormal."
                )
                raise TypeError(msg)
            weights = mixture.mixture_distribution.probs_parameter()
            deviations = _deviations(mixture.components_distribution)
            count = weights.shape[-1]
            return (
                tf.reduce_mean(tf.reshape(weights, (-1, count)), axis=0),
                tf.reduce_mean(tf.reshape(deviations, (-1, count, self._event_size)), axis=0),
            )

        last = model.layers[-1]
        self._event_size = int(np.prod(getattr(last, "event_shape", None) or (1,)))
        self._usage = usage
        usage.get_concrete_function()  # a model of another kind is refused before it is trained

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Count the dead components, and restart them if it is time."""
        logs = {} if logs is None else logs
        weights, deviations = (values.numpy().astype(np.float64) for values in self._usage())
        dead = np.flatnonzero(weights < self._threshold)
        logs["dead_components"] = float(len(dead))
        if not self._restart_dead:
            return
        is_time = (epoch + 1) % self._every == 0 and epoch + 1 < self.params["epochs"]
        logs["restarted_components"] = float(len(dead)) if is_time else 0.0
        for number, k in enumerate(dead if is_time else ()):
            heaviest = int(weights.argmax())
            weights[[heaviest, k]] = 0.5 * weights[heaviest]
            shift = np.zeros(self._event_size)
            axis = number % self._event_size
            shift[axis] = 0.5 * deviations[heaviest, axis]
            deviations[k] = deviations[heaviest]
            _split_component(self.model, heaviest, int(k), shift)


def _deviations(components: Any) -> tf.Tensor:
    """Return the standard deviations of components, those of log y for log-normal ones."""
    is_joint = not isinstance(components, tfp.distributions.LogNormal)
    single = getattr(components, "distribution", None) if is_joint else components
    if isinstance(single, tfp.distributions.LogNormal):
        return single.scale  # what a location of the layer is measured in
    return components.stddev()


def _check_last_layers(model: tf_keras.Model) -> None:
    """Raise unless the model ends in a Dense layer with a bias and a mixture layer of ours."""
    layers = model.layers[-2:]
    if len(layers) < 2 or not isinstance(layers[1], MixtureHead):
        msg = "restart_dead needs a model that ends in Dense and a mixture of tfp_mdn.layers."
        raise TypeError(msg)
    if not isinstance(layers[0], tf_keras.layers.Dense) or not layers[0].use_bias:
        msg = (
            "restart_dead needs a Dense layer with a bias before the mixture, got "
            f"{type(layers[0]).__name__}."
        )
        raise TypeError(msg)


def _split_component(model: tf_keras.Model, source: int, copy: int, shift: FloatArray) -> None:
    """Make one component a copy of another, halve the weight and move the means apart.

    Args:
        model: Model that ends in Dense and a mixture layer.
        source: Number of the component to split.
        copy: Number of the component to replace.
        shift: What each mean moves by, (D,), in the target's units, in opposite directions.
    """
    dense, head = model.layers[-2:]
    count = head.num_components
    size = dense.units // count - 1  # parameters of a component besides its logit
    columns = [
        np.r_[k, count + k * size : count + (k + 1) * size].astype(int) for k in (source, copy)
    ]
    kernel, bias = dense.get_weights()
    for array in (kernel, bias):
        array[..., columns[1]] = array[..., columns[0]]
    bias[[source, copy]] -= np.log(2.0)
    step = shift / head.scale
    for chosen, sign in zip(columns, (1.0, -1.0), strict=True):
        bias[chosen[1 : 1 + len(shift)]] += sign * step
    dense.set_weights([kernel, bias])
    for variable in (dense.kernel, dense.bias):
        _restart_slots(model.optimizer, variable, np.concatenate(columns))


def _restart_slots(optimizer: Any, variable: Any, columns: NDArray[np.intp]) -> None:
    """Set what an optimizer has stored of some columns to 0, and averages to the values now."""
    if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer):
        names = optimizer.get_slot_names()
        slots = [optimizer.get_slot(variable, name) for name in names]
    else:
        slots = [
            slot
            for slot in optimizer.variables
            if slot.name.split(":")[0].endswith(f"/{variable._shared_name}")
        ]
    for slot in slots:
        values = slot.numpy()
        is_average = slot.name.startswith("average/")
        values[..., columns] = variable.numpy()[..., columns] if is_average else 0.0
        slot.assign(values)
