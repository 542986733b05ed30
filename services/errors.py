"""What can go wrong with a service."""


class ServiceError(Exception):
    """A service can't be installed, started or stopped. The text says what is wrong and how to mend it."""
