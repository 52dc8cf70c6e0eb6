"""How hypothesis runs here."""

from hypothesis import settings

# An example that takes long does so because the machine has something else to do.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
