"""Tests of the mathematics of Gaussian mixtures."""
