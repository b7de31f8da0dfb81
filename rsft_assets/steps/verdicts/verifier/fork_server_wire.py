"""What the owner and the child side of the workers exchange outside their connections: layouts and constants."""

import struct

ORDER = struct.Struct("=cq")
"""An order to the fork server: F (fork) or K (kill), and a process id."""
REPLY = struct.Struct("=q")
"""A process id, or an exit state as `waitpid` tells it."""
BOARD = struct.Struct("@QQdd16s")
"""What a worker shows while it works: a counter that moves with each step, number of the work, its CPU time when the
step began and when it was last named, digest of that name."""
NOBODY = 2**64 - 1
