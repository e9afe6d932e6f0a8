"""Waiting for something to become true. Nothing in the suite sleeps and hopes."""

import os
import time

# Sanitizers and busy machines: PELAYAN_TEST_PATIENCE=3 allows everything three times as long.
PATIENCE = float(os.environ.get("PELAYAN_TEST_PATIENCE", "1"))
TIMEOUT = 10 * PATIENCE


class TooLong(AssertionError):
    """What a test waited for did not happen."""


def until(condition, what, timeout=TIMEOUT):
    """Returns what `condition()` returns as soon as that is true; `what` completes the failure."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TooLong(f"waited {timeout:g} s for {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
