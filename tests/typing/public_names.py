"""The public names as a strictly typed program sees them; checked by mypy and pyright, not run."""

from typing import assert_type

import h2ws_fast
from h2ws_fast import errors

assert_type(h2ws_fast.COMPILED, bool)


def retryable(error: errors.H2WSError) -> bool:
    assert_type(error.error_code, int)
    if isinstance(error, errors.StreamReset):
        return error.retryable
    return isinstance(error, errors.NoAvailableStreams)
