"""The clock that trust is measured by: it never steps, and counts while a host sleeps.

Runs in: beat, worker.
"""

from __future__ import annotations

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def boot_ms() -> int:
        """Tell milliseconds since some fixed moment; the same clock in every process of a host."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

else:  # macOS: monotonic stands still while the host sleeps; expiry is then noticed later

    def boot_ms() -> int:
        """Tell milliseconds since some fixed moment; the same clock in every process of a host."""
        return time.monotonic_ns() // 1_000_000
