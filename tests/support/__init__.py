"""What the tests speak with: frames by hand, and an independent reading of the engine's output."""
