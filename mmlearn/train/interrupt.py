"""Ctrl-C, the notebook's stop button, a scheduler's SIGTERM: stop after this step.

Between the optimizer and the average the state is neither before nor after the step;
an exception there would leave it torn. So the signal is noted, and the loop asks.
"""

import contextlib
import signal
from collections.abc import Iterator


class Interrupt:
    """True once the reader has asked to stop."""

    asked = False

    def __bool__(self) -> bool:
        return self.asked


@contextlib.contextmanager
def polite_interrupt() -> Iterator[Interrupt]:
    """Within the block the first signal is only noted; a second one stops at once."""
    interrupt = Interrupt()

    def note(number, frame):
        if interrupt:
            raise KeyboardInterrupt
        interrupt.asked = True

    before = {}
    try:
        # Only the main thread may set handlers; elsewhere signals do what they did.
        with contextlib.suppress(ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, note)
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
