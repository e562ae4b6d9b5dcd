"""The command line; `app` is the command `fer-batch`."""

from fer_batch.cli.app import app

__all__ = ["app"]
