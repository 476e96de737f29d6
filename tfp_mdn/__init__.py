"""Mixture density networks on TensorFlow Probability."""

__version__ = "0.1.0"
