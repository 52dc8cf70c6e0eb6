"""Close codes."""

from ..aio.codes import CloseCode
from ..errors import Close

__all__ = ["Close", "CloseCode"]
