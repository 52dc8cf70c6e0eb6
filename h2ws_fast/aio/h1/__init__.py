"""HTTP/1.1 beside HTTP/2: the same verbs and events over it."""
