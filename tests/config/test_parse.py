"""Parsers of what people write: every accepted form means what it says, everything else is a ValueError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import parse

KEY = "a" * 64
UUID = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("10m", 600), ("2h", 7200), ("7d", 604800), ("1.5s", 1.5), ("2 minutes", 120), ("1 day", 86400),
     (" 3 S ", 3), ("0", 0), (0, 0), ("10 millis", 0.01), ("5min", 300)],
)  # fmt: skip
def test_durations(text, seconds):
    """Each unit, long and short, means its length."""
    assert parse.duration(text) == seconds


@pytest.mark.parametrize(
    "bad", ["", "30", "s", "-1s", "1 week", "1e9s", "99999d 1s", "10000000d", None, True, False, 5, [], "٣s", "1s\x00"]
)
def test_durations_refused(bad):
    """Without a unit, with a sign, of another type: refused with examples."""
    with pytest.raises(ValueError, match="must be"):
        parse.duration(bad)


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_durations_scale(number, unit):
    """A duration is its number times its unit."""
    factor = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    if number * factor > 100 * 365 * 86400:
        with pytest.raises(ValueError, match="100 years"):
            parse.duration(f"{number}{unit}")
    else:
        assert parse.duration(f"{number}{unit}") == pytest.approx(number * factor)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2048m", 2048 << 20),
        ("2g", 2 << 30),
        ("256 MB", 256 << 20),
        ("1048576 B", 1 << 20),
        ("512k", 512 << 10),
        (" 1 GB ", 1 << 30),
    ],
)
def test_sizes(text, size):
    """Powers of 1024, as upstream's size strings."""
    assert parse.size(text) == size


@pytest.mark.parametrize("bad", ["", "2048", "0m", "-1m", "1t", "1.5g", 2048, None, "9" * 30 + "g"])
def test_sizes_refused(bad):
    """No unit, nothing, fractions, absurd amounts."""
    with pytest.raises(ValueError, match="must be"):
        parse.size(bad)


def test_megabytes_are_whole():
    """Memory is counted in whole megabytes."""
    assert parse.megabytes("2g") == 2048
    with pytest.raises(ValueError, match="whole number of megabytes"):
        parse.megabytes("1500k")


@pytest.mark.parametrize("bad", ["65536", "-1", "x", "", 70000, True, 3.5, None, "1_000", "٣"])
def test_ports_refused(bad):
    """A port is 0 to 65535."""
    with pytest.raises(ValueError, match="must be"):
        parse.port(bad)


@pytest.mark.parametrize(
    "bad", ["host", "ftp://h", "http://", "http://h/p", "http://h?q", "http://u:p@h", "http://h:99999", "http://h h", "http://[", 3]
)
def test_urls_refused(bad):
    """A URL is scheme, host and port alone."""
    with pytest.raises(ValueError, match="must be"):
        parse.url(bad)


def test_urls():
    """The slash at the end goes."""
    assert parse.url("http://10.0.0.1:3233/") == "http://10.0.0.1:3233"
    assert parse.url("https://[::1]:443") == "https://[::1]:443"


@pytest.mark.parametrize(
    "bad", ["x", f"{UUID}:{KEY}x", f"{UUID}:{KEY[1:]}", f"{UUID}{KEY}", f"{UUID[1:]}:{KEY}", f"{UUID}:{KEY[:-1]} ", None]
)
def test_credentials_refused_without_showing_them(bad):
    """A wrong pair is refused, and the text never repeats it."""
    with pytest.raises(ValueError, match="must") as info:
        parse.credentials(bad)
    assert KEY[:32] not in str(info.value)


def test_credentials():
    """A pair as it is, and the published one by name."""
    assert parse.credentials(f"{UUID}:{KEY}") == f"{UUID}:{KEY}"
    assert parse.credentials("guest") == "guest"


def test_origins():
    """One, several by comma or list, or all."""
    assert parse.origins("*") == ("*",)
    assert parse.origins("https://a.example, http://b:80/") == ("https://a.example", "http://b:80")
    assert parse.origins(["https://a.example", "https://b.example"]) == ("https://a.example", "https://b.example")
    with pytest.raises(ValueError, match="URL"):
        parse.origins("a.example")


@pytest.mark.parametrize("good", ["", "accepted:before", "finished:written:2", "acked:after:10"])
def test_failpoints(good):
    """The design's form."""
    assert parse.failpoint(good) == good


@pytest.mark.parametrize("bad", ["accepted", "accepted:during", "accepted:after:0", "accepted:after:x"])
def test_failpoints_refused(bad):
    """Anything else would never fire."""
    with pytest.raises(ValueError, match="must look like"):
        parse.failpoint(bad)


@given(st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats(), st.lists(st.text())))
def test_parsers_raise_nothing_but_value_errors(value):
    """Whatever is written, each parser answers or says ValueError."""
    for parser in (*parse.METAVARS, parse.filled, parse.failpoint, parse.network, parse.optional(parse.duration)):
        try:
            parser(value)
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize(("text", "found"), [("a:9092", ("a:9092",)), ("a:1, [::1]:2", ("a:1", "[::1]:2")), (["a:1"], ("a:1",))])
def test_servers(text, found):
    """One or several brokers."""
    assert parse.servers(text) == found


@pytest.mark.parametrize("bad", ["", "a", "a:", ":1", "a:0", "a:70000", "a:x", "a:1,b", None, 5, "a:٣"])
def test_servers_refused(bad):
    """Each needs host and port."""
    with pytest.raises(ValueError, match="must be"):
        parse.servers(bad)


@pytest.mark.parametrize("bad", ["a/b", "a b", "ü", "x" * 101, 5])
def test_topic_prefixes_refused(bad):
    """Nothing that a topic's name can't have."""
    with pytest.raises(ValueError, match="must be"):
        parse.topic(bad)


def test_switches():
    """On and off for people, true and false for TOML."""
    assert [parse.switch(each) for each in ("on", " OFF ", True, False)] == [True, False, True, False]
    with pytest.raises(ValueError, match="must be one of on, off"):
        parse.switch("yes")
