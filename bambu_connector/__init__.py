"""Bambu Lab printers in LAN-only mode, in the hands of Printago."""
