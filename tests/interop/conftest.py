"""Other implementations on the other side, over real sockets."""

import sys

import pytest

from tests.support.programs import Echo

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # they are driven by POSIX's signals and pipes


@pytest.fixture(scope="module", params=["tls", "cleartext"])
def echo(request):
    with Echo(*(["--cleartext"] if request.param == "cleartext" else [])) as server:
        yield server
