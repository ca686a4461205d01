"""Tests of Printago's language."""
