"""Tests of bambu_connector.config."""
