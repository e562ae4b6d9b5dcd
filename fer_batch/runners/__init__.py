"""Where tasks run. Runners get callables; they know no step of a run."""
