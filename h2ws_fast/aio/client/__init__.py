"""The client's side: `connect`, `Session`, and what they open."""
