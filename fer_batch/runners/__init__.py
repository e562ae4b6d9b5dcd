"""Where units of work run. Runners get callables; they know no stage."""
