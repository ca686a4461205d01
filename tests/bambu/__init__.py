"""Tests of the printer's language."""
