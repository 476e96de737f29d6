"""Tests of `tfp_mdn.serving`, `tfp-mdn serve` and the models for MLflow."""
