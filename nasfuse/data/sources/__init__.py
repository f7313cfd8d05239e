"""Where data sets come from: shipped sets and files, one module per source."""
