"""Runs a program, and ends it with all its children when whoever started us is gone, however it went.

    python guard.py COMMAND ...

Our standard input is a pipe whose other end only the starter holds: the system closes it when the starter ends, by
kill -9 too. On Linux the program also dies with us, should we be the one that is killed. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

PATIENCE = 10.0  # seconds for a polite end
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(command: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: None)  # meant for the program, whose end is ours
    linux = sys.platform.startswith("linux")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent if linux else None)
    starter_gone = threading.Event()
    threading.Thread(target=end_with_starter, args=(process, starter_gone), daemon=True).start()
    code = process.wait()
    if starter_gone.is_set() and os.name != "nt":
        os.killpg(os.getpgrp(), signal.SIGKILL)  # the program's children are in it, and so are we
    return code


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_starter(process: subprocess.Popen[bytes], starter_gone: threading.Event) -> None:
    os.read(0, 1)  # nothing is ever written: this is the end of the pipe
    starter_gone.set()
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
        return
    process.terminate()
    time.sleep(PATIENCE)
    process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
