"""One file for each wire; no meaning."""
