"""The virtual printer."""
