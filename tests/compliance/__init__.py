"""Conformance suites that others wrote, as drivers: `python -m tests.compliance`."""
