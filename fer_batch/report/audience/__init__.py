"""The audience part of the report: what a study's tables say about each stimulus."""
