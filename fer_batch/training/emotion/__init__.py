"""Training and evaluation of emotion models."""
