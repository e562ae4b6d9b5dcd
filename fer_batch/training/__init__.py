"""Training and evaluation of emotion models. Nothing outside this folder imports it but the CLI."""
