"""A taken default port falls back, one asked for by name does not."""

import socket

import pytest

from config.errors import PortTaken
from config.ports import bind


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_free_port():
    """A free port is bound without a remark, ready to be listened on by an event loop."""
    found, note = bind("127.0.0.1", 0, explicit=True)
    with found:
        assert note is None
        assert not found.getblocking()
        socket.create_connection(found.getsockname(), 5).close()


def test_taken_default_falls_back_and_says_so(taken):
    """Another port, named in the note."""
    found, note = bind("127.0.0.1", taken, explicit=False)
    with found:
        assert found.getsockname()[1] != taken
        assert str(taken) in note
        assert str(found.getsockname()[1]) in note


def test_taken_and_asked_for_is_an_error(taken):
    """A port chosen by name is never replaced by another."""
    with pytest.raises(PortTaken, match=f"port {taken} on 127.0.0.1 is taken"):
        bind("127.0.0.1", taken, explicit=True)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "\udcff", "x" * 300])
def test_addresses_that_are_not_ours(host):
    """No fallback for a wrong address, whatever is written there."""
    with pytest.raises(PortTaken, match="--host"):
        bind(host, 0, explicit=False)


def test_a_killed_nodes_port_is_free_at_once():
    """Connections of a closed listener that still linger don't keep the port."""
    first, _ = bind("127.0.0.1", 0, explicit=True)
    port = first.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port), 5)
    first.setblocking(True)
    served, _ = first.accept()
    served.close()
    first.close()
    second, note = bind("127.0.0.1", port, explicit=True)
    second.close()
    client.close()
    assert note is None
