"""Summaries of the tables, and the statistics behind them."""
