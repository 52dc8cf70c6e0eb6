"""Extensions of WebSockets: permessage-deflate is the one there is."""

from . import permessage_deflate

__all__ = ["permessage_deflate"]
