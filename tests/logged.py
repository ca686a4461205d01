"""What was logged by a test itself: printers that tests share are still speaking, in a thread of their own."""

import logging
import threading

import pytest


def logged_here(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the records of the thread that asks."""
    return [each for each in caplog.records if each.thread == threading.get_ident()]
