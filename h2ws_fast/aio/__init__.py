"""asyncio and uvloop: `serve`, `connect`, `Session` and what they hand out. Knows no frame."""
