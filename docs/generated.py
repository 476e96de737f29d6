"""What MkDocs adds to the pages: pictures that examples draw, notebooks, figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import nbformat
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

from docs.examples import pictures, run

__all__ = ["on_config", "on_files"]

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MEASURED = sorted(set((ROOT / "benchmarks").glob("*.md")) - {ROOT / "benchmarks" / "README.md"})


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put notebooks and measurements into the navigation; MkDocs calls this by its name."""
    for section in config.nav or []:
        if "Notebooks" in section:
            section["Notebooks"] += [f"notebooks/{path.stem}.md" for path in NOTEBOOKS]
        if "Measured" in section:
            section["Measured"] += [
                {path.stem.capitalize(): f"measured/{path.name}"} for path in MEASURED
            ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add generated files to those of the folder `pages`; MkDocs calls this by its name."""
    mpl.use("agg")
    for page in list(files.documentation_pages()):
        for uri, picture in _drawn(page):
            files.append(File.generated(config, uri, content=picture))
    for path in NOTEBOOKS:
        for name, content in _notebook(path):
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    for path in MEASURED:
        text = path.read_text(encoding="utf-8")
        files.append(File.generated(config, f"measured/{path.name}", content=text))
    return files


def _drawn(page: File) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of a page, which its examples save under the names that it shows."""
    wanted = pictures(page.content_string)
    if not wanted:
        return
    with TemporaryDirectory() as folder:
        for _ in run(Path(str(page.abs_src_path)), Path(folder)):
            pass
        for name in wanted:
            uri = (Path(page.src_uri).parent / name).as_posix()
            yield uri, (Path(folder) / name).read_bytes()


def _notebook(path: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yield an executed notebook as a page, and its pictures."""
    read: Any = nbformat.read
    notebook = read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _with_formulas(cell.source)
    exporter: Any = MarkdownExporter
    text, resources = exporter().from_notebook_node(
        notebook, resources={"output_files_dir": path.stem}
    )
    yield f"{path.stem}.md", text
    yield from resources["outputs"].items()


def _with_formulas(text: str) -> str:
    """Replace LaTeX by MathML, which browsers draw without a script."""
    text = re.sub(
        r"\$\$(.+?)\$\$",
        lambda m: convert(m[1], display="block"),
        text,
        flags=re.DOTALL,
    )
    return re.sub(r"\$(.+?)\$", lambda m: convert(m[1]), text)
