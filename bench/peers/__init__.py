"""Echo servers for the loopback benchmark: `python -m bench.peers.NAME PORT [CERT KEY]`.

Each prints `ready` on standard output once it accepts connections.
"""
