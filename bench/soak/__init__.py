"""`python -m bench soak`: an echo server for hours among friends, strangers and attackers.

command.py     the options, the clients' turns, the end
served.py      the server, in a process of its own, and what it says about itself
place.py       the server as its clients know it
visits.py      what a visit is; the table of all kinds
friends.py     visits of our own client: WebSockets, requests, tunnels
octets.py      a client made of octets, from `bench.wire` and nothing else
strangers.py   visits of that client within the rules, however oddly
attacks.py     visits against the rules, each with the answer it must get
ledger.py      what happened; what was expected
verdict.py     what must hold at the end
"""
