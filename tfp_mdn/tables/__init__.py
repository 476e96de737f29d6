"""Tables of the shell tool: read, checked in words, encoded for a network, written whole."""

from tfp_mdn.tables.columns import find_text_columns, missing_counts, numeric_columns
from tfp_mdn.tables.encoding import CATEGORIES, Columns
from tfp_mdn.tables.grid import grid_table
from tfp_mdn.tables.reading import read_table
from tfp_mdn.tables.writing import write_file, write_table

__all__ = [
    "CATEGORIES",
    "Columns",
    "find_text_columns",
    "grid_table",
    "missing_counts",
    "numeric_columns",
    "read_table",
    "write_file",
    "write_table",
]
