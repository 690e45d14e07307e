"""Errors: what a person can act on. Anything else that is raised is a fault of this program, and is shown as one."""


class UserError(ValueError):
    """A sentence about what was asked for or handed over, and what to do about it; shown as it is, without a traceback.

    A `ValueError`, so that callers of the library need not know this class.
    """


class StoreError(UserError):
    """The store of jobs cannot be read or written: a full disk, no permission, a damaged or newer database."""
