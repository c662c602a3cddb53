"""Run as a script: become another program that does not outlive its parent.

Usage: ``python _with_parent.py PARENT_PID PROGRAM [ARGUMENT...]``. On Linux the kernel then sends
SIGTERM when the parent dies, even by ``kill -9``; elsewhere there is no such promise. The setting
survives the exec, so this costs one bare interpreter start (10 ms).
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(sys.argv[1]):
            sys.exit(143)  # the parent died before the setting was made
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - exec is the point
