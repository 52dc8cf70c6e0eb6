"""ASGI applications over HTTP/2 and HTTP/1.1: `serve`, and classes for uvicorn and gunicorn."""

from .lifespan import StartupFailed
from .server import Server, serve

__all__ = ["Server", "StartupFailed", "serve"]
