"""Tests of bambu_connector.links, against real servers."""
