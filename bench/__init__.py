"""Benchmarks of h2ws_fast beside its peers: `python -m bench --help`."""
