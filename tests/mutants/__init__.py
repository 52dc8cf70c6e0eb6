"""Do the tests bite? Each check of the pure engine that raises an error is disabled in turn.

`sites` finds the checks and puts a switch into each, `arena` runs the tests against one after the
other, `__main__` writes what survived.
"""
