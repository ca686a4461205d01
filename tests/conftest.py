"""What holds for every test."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings

THREAD_GRACE_S = 5.0  # a worker that has been told to stop needs a moment on a busy machine

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("tests", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("tests")

# The tests must not find the configuration, state or service manager of the user who runs them.
for _name in ("BAMBU_CONNECTOR_CONFIG", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC"):
    os.environ.pop(_name, None)

# A shell starts what runs in its background with Ctrl-C ignored, and our children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that ends while a thread of its own is still running and would keep the process alive."""
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + THREAD_GRACE_S
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
            assert not thread.is_alive(), f"the thread {thread.name} is still running"


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    """Undo what a test set up for its log: another one may want to read what is logged."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {root: root.level}
    levels |= {each: each.level for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger)}
    yield
    root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)
