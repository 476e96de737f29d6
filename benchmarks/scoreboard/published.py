"""Published figures for the UCI tables: numbers of others, measured elsewhere, for comparison."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published"]


@dataclass(frozen=True)
class Published:
    """Test NLL of a published method, mean over the 20 standard splits, by table."""

    label: str
    source: str
    nll: dict[str, float]


def _row(
    label: str, source: str, concrete: float, energy: float, yacht: float, power: float
) -> Published:
    nll = {"concrete": concrete, "energy": energy, "yacht": yacht, "power-plant": power}
    return Published(label, source, nll)


PUBLISHED = (
    _row("PBP", "Hernández-Lobato & Adams 2015", 3.16, 2.04, 1.63, 2.84),
    _row("MC dropout", "Gal & Ghahramani 2016, the authors' later run", 2.94, 1.21, 1.25, 2.81),
    _row("deep ensembles", "Lakshminarayanan et al. 2017", 3.06, 1.38, 1.18, 2.79),
    _row("NGBoost", "Duan et al. 2020", 3.04, 0.60, 0.20, 2.79),
    _row("WGBoost", "Matsubara 2024", 2.83, 0.53, 0.16, 2.60),
    _row("best of the MDN family", "Kelen et al. 2025, per-split files", 2.95, 0.31, -0.16, 2.57),
)
