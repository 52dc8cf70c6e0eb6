"""Header fields."""

from __future__ import annotations

from ..aio.http import Headers, HeadersLike

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]


class MultipleValuesError(LookupError):
    """Never raised: `headers[name]` joins the values of a repeated field with ", "."""
