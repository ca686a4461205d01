"""Tests of what lies between the two languages."""
