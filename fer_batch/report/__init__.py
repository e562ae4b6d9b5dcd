"""report.html: means as text, series for charts, and, in assets/, its page."""
