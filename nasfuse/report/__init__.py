"""Reports: the front as table, picture and page."""
