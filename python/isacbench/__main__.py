"""The program `isacbench`, as `pip` installs it and as `python -m isacbench`."""

import signal
import sys

from . import _core


def main() -> int:
    # The program handles its own interrupts; Python's handler would only run when it has ended.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.main(["isacbench", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
