"""The table of scores that ends a notebook, in a form that `run.py` can collect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.display import Markdown, display

__all__ = ["SCORES_KEY", "show_scores"]

# Where a notebook's last output carries its scores as metadata.
SCORES_KEY = "tfp_mdn_scores"


def show_scores(
    problem: str, entropy: float, nll: Mapping[str, float], labels: Mapping[str, str]
) -> None:
    """Show the held-out score of each recipe beside the best possible one.

    Args:
        problem: Name of the problem and size of the training set.
        entropy: Lowest negative log-likelihood that any model can reach, in nats per row.
        nll: Held-out negative log-likelihood of each recipe, in nats per row.
        labels: What the table calls each of these recipes.
    """
    scores: dict[str, Any] = {
        "problem": problem,
        "entropy": round(float(entropy), 4),
        "nll": {recipe: round(float(score), 4) for recipe, score in nll.items()},
        "gap": {recipe: round(float(score - entropy), 4) for recipe, score in nll.items()},
    }
    lines = [
        f"**{problem}**: best possible (entropy) {entropy:.3f} nats",
        "",
        "| recipe | held-out NLL | above the best possible |",
        "|---|---:|---:|",
    ]
    for recipe, score in nll.items():
        lines.append(f"| {labels[recipe]} | {score:.3f} | {score - entropy:.3f} |")
    display(Markdown("\n".join(lines)), metadata={SCORES_KEY: scores})
