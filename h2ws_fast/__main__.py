"""`python -m h2ws_fast`: the same as `h2ws-fast`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
