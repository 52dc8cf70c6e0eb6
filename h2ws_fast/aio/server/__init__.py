"""The server's side: `serve`, who may come in, and what becomes of each connection."""
