"""The command `export`: a model for programs without this package."""

from __future__ import annotations

from pathlib import Path

import click

from tfp_mdn.cli.options import FULL_PATH, model_argument, quiet_option

__all__ = ["export"]

_FORMATS = ("saved_model", "tflite", "onnx")


@click.command()
@model_argument
@click.option(
    "-o", "--output", type=FULL_PATH, required=True, help="Directory, or file for tflite."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(_FORMATS),
    default="saved_model",
    show_default=True,
    help="saved_model for TensorFlow, tflite for LiteRT, onnx for ONNX Runtime.",
)
@click.option("--overwrite", is_flag=True, help="Replace an older export.")
@quiet_option
def export(model: Path, output: Path, file_format: str, overwrite: bool) -> None:  # noqa: FBT001
    """Write MODEL in a format that other programs load without tfp_mdn.

    It answers with parameters, mean and log-density; saved_model and onnx with quantiles too, and
    saved_model with samples.
    """
    from tfp_mdn.cli.places import remark
    from tfp_mdn.model_directory import read_metadata

    read_metadata(model)  # what is wrong with it is told before TensorFlow is imported
    from tfp_mdn._startup import import_quietly

    import_quietly()
    from tfp_mdn import export as exports
    from tfp_mdn.persistence import load

    write = getattr(exports, f"export_{file_format}")
    write(load(model), output, overwrite=overwrite)
    remark(f"{file_format} written to {output}")
