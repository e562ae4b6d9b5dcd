"""`python -m fer_batch`."""

from fer_batch.cli import app

app(prog_name="fer-batch")
