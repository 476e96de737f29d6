"""Answers over HTTP: an application that serves the densities of one model.

`create_app` makes an ASGI application of a model or of the directory that `tfp_mdn.save` wrote, for
any server that runs such; `tfp-mdn serve` runs it with uvicorn. Both need the extra `serve`.
"""

from tfp_mdn.serving.app import create_app
from tfp_mdn.serving.limits import Limits

__all__ = ["Limits", "create_app"]
