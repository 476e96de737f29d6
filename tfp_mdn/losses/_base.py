"""What the losses of a mixture share: a value for each row, and a penalty on the weights."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

import tfp_mdn._loss_kernels as kernels
from tfp_mdn._validation import as_real

__all__ = ["MixtureLoss"]


class MixtureLoss(tf_keras.losses.Loss):
    """A loss of each row, and the penalty on the entropy of its component weights."""

    def __init__(self, entropy_penalty: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entropy_penalty = as_real("entropy_penalty", entropy_penalty)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Return the loss of each row."""
        loss = self._row_loss(y_true, y_pred)
        if self.entropy_penalty:
            weights = kernels.component_weights(type(self).__name__, y_pred)
            loss += self.entropy_penalty * weights.entropy()
        return loss

    def _row_loss(self, y: Any, distribution: Any) -> tf.Tensor:
        raise AssertionError("each loss has its own")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "entropy_penalty": self.entropy_penalty}
