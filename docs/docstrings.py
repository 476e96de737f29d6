"""Lets mkdocstrings read the examples of docstrings as such."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["ExampleSections"]


class ExampleSections(griffe.Extension):
    """Renames sections "Example:", which the Google style allows and griffe knows as "Examples:".

    Under the name that it does not know, a doctest would be rendered as prose.
    """

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section in one docstring; griffe calls this for each object."""
        if obj.docstring:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
