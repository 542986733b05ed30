"""`controller`: settings reach it; without a broker it says what is missing."""

import io

import pytest

from config.limits import system_limits
from config.settings import Settings
from console.controller_screen import ControllerScreen


@pytest.fixture
def started(monkeypatch):
    """What the controller was started with, instead of a controller."""
    calls = []
    monkeypatch.setattr("transport.serve_controller.run", lambda settings, screen: calls.append(settings) or 0)
    monkeypatch.setattr("console.logging.set_up", lambda level: None)
    return calls


def test_a_broker_is_needed(cli, started):
    found = cli("controller")
    assert found.code == 2
    assert "needs a broker" in found.err
    assert "--kafka" in found.err
    assert started == []


def test_the_rates_of_a_cluster_are_upstreams_unless_others_are_chosen(cli, started):
    assert cli("controller", "--kafka", "h:9092", "--id", "3", "--fires-per-minute", "none").code == 0
    (settings,) = started
    assert settings.id == 3
    limits = system_limits(settings, cluster=True)
    assert (limits.invocations_per_minute, limits.concurrent_invocations, limits.fires_per_minute) == (60, 30, None)
    assert system_limits(settings).invocations_per_minute is None


@pytest.mark.parametrize("auth", [None, "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "k" * 64])
def test_the_start_says_how_to_come_in(auth):
    """No subject is made without --auth; the store's password stays unsaid."""
    out = io.StringIO()
    screen = ControllerScreen(Settings(kafka=("h:9092",), store="http://admin:hidden@db:5984"), out)
    screen.on_listening("http://127.0.0.1:3233", auth)
    screen.on_ready(1.0)
    screen.on_draining(2, 30.0)
    screen.on_stopped(1)
    text = out.getvalue()
    assert "hidden" not in text
    assert ("run.py user create NAME" in text) == (auth is None)
    assert "http://127.0.0.1:3233" in text
    assert "1 callers left without an answer" in text
