"""Training and evaluation of both networks. Nothing outside this package imports it but the CLI."""
