"""A report on a fitted model: one HTML file with data, scores, pictures and an explorer."""

from tfp_mdn.report.writing import write_report

__all__ = ["write_report"]
