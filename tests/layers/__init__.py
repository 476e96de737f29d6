"""Tests of the mixture layers."""
