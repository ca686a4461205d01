"""Tests of what is known of printers."""
