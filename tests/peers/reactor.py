"""pynetdicom's reactor, held still while we send."""

from __future__ import annotations

import time

from pynetdicom.association import Association


def still(association: Association) -> None:
    """Stops the association's reactor for good: on its way to the checkpoint it would take our answer.

    pynetdicom waits for `_is_paused` alone, which the reactor has set before it waits and still has set when it
    wakes; only one that stays paused has really stopped.
    """
    association._reactor_checkpoint.clear()
    begun = seen = time.monotonic()
    while time.monotonic() - seen < 0.05 and time.monotonic() - begun < 5:
        time.sleep(0.001)
        if not association._is_paused:
            seen = time.monotonic()
    # One that says nothing for seconds stands still as well: without this word each `send_…` would wait for ever.
    association._is_paused = True
