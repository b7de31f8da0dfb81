"""What the owner and the child side of the workers exchange outside their connections: layouts and constants."""

import re
import struct

ORDER = struct.Struct("=cq")
"""An order to the fork server: F (fork), K (kill) or W (warm up), and a process id."""
REPLY = struct.Struct("=q")
"""A process id, an exit state as `waitpid` tells it, or 0."""
BOARD = struct.Struct("@QQdd16s")
"""What a worker shows while it works: a counter that moves with each step, number of the work, its CPU time when the
step began and when it was last named, digest of that name."""
NOBODY = 2**64 - 1
WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
"""What is read as a number, without the grammar of formulas."""
