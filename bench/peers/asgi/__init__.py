"""Servers of one ASGI application for the benchmark's section `asgi`, as in `bench.peers`."""
