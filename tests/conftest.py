"""Settings that every test shares: property tests draw the same examples in every run."""

from __future__ import annotations

from hypothesis import settings

# A time limit per example would make the result depend on how busy the machine is.
settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("deterministic")
