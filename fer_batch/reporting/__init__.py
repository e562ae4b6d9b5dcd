"""What the report is made of: figures as text, series for charts, and, in assets/, its page."""
