"""Listeners of forward, before a server of ours on the same loop."""

from tests.aio.conftest import (  # noqa: F401  # fixtures and hooks
    certificate,
    clear,
    client_tls,
    pytest_generate_tests,
    pytest_pyfunc_call,
    server_tls,
)
from tests.masque.conftest import within  # noqa: F401
