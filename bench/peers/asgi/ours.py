"""h2ws_fast in uvicorn."""

from ._uvicorn import main

main(http="h2ws_fast.asgi.uvicorn:Protocol")
