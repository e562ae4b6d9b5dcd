"""Draws what a run saw into its media, from the tables alone. The one place that writes pictures of people."""
