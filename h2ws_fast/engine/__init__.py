"""The sans-IO engine: bytes in, events out; verbs in, bytes out. No sockets, no clocks."""
