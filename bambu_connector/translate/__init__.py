"""Between the two languages: pure."""
