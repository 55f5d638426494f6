"""Lets the C library keep the memory of large messages instead of handing it back to the system after each request."""

from __future__ import annotations

import ctypes

# Of malloc.h, in the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT_BYTES = 2**25  # The largest threshold that the library takes.


def keep_freed_memory() -> None:
    """Does nothing where the C library is another one.

    By default each block above 128 KiB is mapped and unmapped anew, and the system clears all its pages each time: for a
    request of 1 MB that takes longer than all else. Kept are the blocks that requests of up to 32 MiB have used at the same
    time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
    mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_KEPT_BYTES)
