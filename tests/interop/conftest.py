"""Other implementations on the other side, over real sockets."""

import sys

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # they are driven by POSIX's signals and pipes
