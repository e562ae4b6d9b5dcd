"""What the tables of summary/ are made of; `stages.summarize` puts them together."""
