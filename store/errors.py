"""Errors of the stores.

StoreError
 +-- StoreUnavailable   no certain answer (outage, disk full, busy): the same request may be repeated for ever
 +-- StoreRefused       the store will never take this (too large, malformed): repeating does not help
 +-- Conflict           a document with this id (or another revision of it) is already there
 +-- NotFound           no such document
 +-- Fenced             another owner claimed the stream: stop, give no answer
 +-- JournalDamaged     a number is missing or a checksum is wrong; says which
 +-- DataDirInUse       a living process owns the data directory; says its pid and URL
 +-- StoreUnusable      the store can't be opened as it is: the text names the path and the fix
 +-- StoreFailed        the disk answered with an I/O error: the process must end
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of all store errors."""


class StoreUnavailable(StoreError):
    """No certain answer: the write may or may not have been applied."""


class StoreRefused(StoreError):
    """The store certainly refused and always will."""


class Conflict(StoreError):
    """The id is taken, or the revision given is not the current one."""


class NotFound(StoreError):
    """There is no such document."""


class Fenced(StoreError):
    """Another process owns the stream now."""


class JournalDamaged(StoreError):
    """The journal can't be trusted at the place named."""


class DataDirInUse(StoreError):
    """Another living process owns the data directory."""


class StoreUnusable(StoreError):
    """The store can't be opened as it is: the text names the path and the fix."""


class StoreFailed(StoreError):
    """The storage itself is failing."""
