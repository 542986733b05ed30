"""Credentials of namespace guest: random once, kept, or given."""

import os
import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from config import parse
from config.credentials import GUEST, choose, guest_subject, new_pair, split


def test_new_pairs_have_openwhisks_form():
    """uuid (version 4) and 64 letters and digits, never the same twice."""
    pairs = {new_pair(os.urandom) for _ in range(50)}
    assert len(pairs) == 50
    for pair in pairs:
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}:[A-Za-z0-9]{64}", pair)
        assert parse.credentials(pair) == pair


@given(st.randoms(use_true_random=False))
def test_any_source_of_bytes_gives_a_valid_pair(random):
    """Bytes that don't map evenly to the alphabet are thrown away, not bent."""
    assert parse.credentials(new_pair(random.randbytes))


def test_given_over_kept_over_random():
    """--auth wins, then the file, then a new pair."""
    kept = new_pair(os.urandom)
    other = new_pair(os.urandom)
    assert choose(other, kept, os.urandom).auth == other
    assert choose("guest", kept, os.urandom).auth == GUEST
    assert choose("guest", None, os.urandom).public
    found = choose(None, kept + "\n", os.urandom)
    assert (found.auth, found.origin, found.public) == (kept, "file", False)
    fresh = choose(None, None, os.urandom)
    assert fresh.origin == "random"
    assert fresh.auth not in (kept, other, GUEST)


def test_the_subject_document():
    """Upstream's form of a subject."""
    uuid, key = split(GUEST)
    assert msgspec.json.decode(guest_subject(GUEST)) == {
        "subject": "guest",
        "namespaces": [{"name": "guest", "uuid": uuid, "key": key}],
    }
