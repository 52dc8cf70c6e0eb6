"""uvicorn with httptools and websockets: HTTP/1.1."""

from ._uvicorn import main

main(http="httptools", ws="websockets")
