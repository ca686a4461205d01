"""Printago's language: pure."""
