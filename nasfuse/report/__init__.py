"""Reports of a run: tables, figures and an HTML page."""
