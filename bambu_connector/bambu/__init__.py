"""The printer's language: pure, from bytes and to bytes."""
