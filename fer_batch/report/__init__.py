"""report.html: figures as text, series for charts, and, in assets/, its page."""
