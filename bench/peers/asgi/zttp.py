"""uvicorn with zttp, HTTP/2 on."""

from ._uvicorn import main

main(http="zttp", http2=True)
