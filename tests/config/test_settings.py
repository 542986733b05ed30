"""Settings: flag over environment over file over default, all problems at once, each with its source."""

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.limits import system_limits
from config.load import load
from config.reference import PAGE, page
from config.settings import OPTIONS, Settings
from tests.fences import MODULES, ROOT

PAIR = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "k" * 64


def problems(flags=None, environ=None, config=None):
    with pytest.raises(SettingsError) as info:
        load(flags or {}, environ or {}, config)
    return info.value.problems


def test_defaults_are_the_designs():
    """A node started without any setting is the standalone node of the design."""
    found = load({}, {})
    assert found == Settings()
    assert (found.host, found.port, found.data_dir, found.memory, found.stream) == (
        "127.0.0.1",
        3233,
        Path("data"),
        2048,
        "invoker0",
    )
    assert (found.keep_activations, found.keep_journal, found.drain_timeout) == (7 * 86400, 86400, 30)
    assert (found.lease, found.live_bound, found.commit_events, found.commit_bytes) == (10, 20_000, 500, 1 << 20)
    assert (found.snapshot_every, found.duplicates_for, found.alone_from) == (1000, 600, 3)
    assert not found.given


def test_every_source_and_their_order(tmp_path):
    """A flag beats the environment, that beats the file, that beats the default; `given` names what was chosen."""
    file = tmp_path / "node.toml"
    file.write_text('port = 1\nmemory = "1g"\nkeep-journal = "2d"\nlease = "5s"\n')
    found = load({"port": "3", "host": None}, {"REWHISK_PORT": "2", "REWHISK_MEMORY": "512m", "HOME": "/"}, file)
    assert (found.port, found.memory, found.keep_journal, found.lease) == (3, 512, 172800, 5)
    assert found.given == {"port", "memory", "keep_journal", "lease"}
    assert load({}, {"REWHISK_CONFIG": str(file)}).port == 1


def test_all_problems_with_their_sources(tmp_path):
    """One start tells everything that is wrong and where it was written."""
    file = tmp_path / "node.toml"
    file.write_text('port = "x"\nmemry = "1g"\n')
    found = problems({"driver": "podman"}, {"REWHISK_LEASE": "soon"}, file)
    assert any("node.toml: port must be" in line for line in found)
    assert any("memry is no setting: did you mean memory?" in line for line in found)
    assert any("--driver must be" in line for line in found)
    assert any("REWHISK_LEASE must be a duration" in line for line in found)


def test_unknown_variables_are_warnings():
    """A misspelled variable is told, but a foreign one does not stop a start."""
    found = load({}, {"REWHISK_PROT": "4"})
    assert found.warnings == ("REWHISK_PROT is no setting: did you mean REWHISK_PORT?",)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"store": "http://user:secret@:5984"}, "must be sqlite, or a CouchDB"),
        ({"store": "http://user:secret@couch:99999"}, "must be sqlite, or a CouchDB"),
        ({"db_prefix": "Whisk"}, "must begin with a-z"),
        ({"action_network": "vlan"}, "must be"),
        ({"docker_env": "=x"}, "NAME=VALUE"),
        ({"memory": "64m"}, "at least 128m"),
        ({"cors": ["*", "https://a.example"]}, "name it alone"),
        ({"auth": "x" * 101}, "must be guest or uuid:key"),
        ({"host": ""}, "must not be empty"),
    ],
)
def test_refusals_say_why(flags, text):
    """What can't work is refused with its reason and without the secret in it."""
    (line,) = problems(flags)
    assert text in line
    assert "secret" not in line
    assert "xxxx" not in line


def test_combinations():
    """Numbers that only make sense together are checked together."""
    assert "event-bytes" in problems({}, {"REWHISK_COMMIT_BYTES": "7m"})[0]


@pytest.mark.parametrize("text", ["port = ", "[", "\xff", "a = 1\na = 2"])
def test_files_that_are_no_toml(tmp_path, text):
    """A broken file is named."""
    file = tmp_path / "x.toml"
    file.write_bytes(text.encode("latin-1"))
    (line,) = problems({}, {}, file)
    assert str(file) in line


def test_files_that_are_not_there(tmp_path):
    """A missing file, or a directory in its place, is named with the reason."""
    assert "No such file" in problems({}, {}, tmp_path / "none")[0]
    assert "directory" in problems({}, {}, tmp_path)[0]


def test_a_table_in_the_file_is_refused(tmp_path):
    """Settings are flat: a table isn't silently ignored."""
    file = tmp_path / "x.toml"
    file.write_text('[journal]\nlease = "1s"\n')
    assert "journal is no setting" in problems({}, {}, file)[0]


def test_secrets_are_not_in_the_repr():
    """Logging the settings can't leak keys."""
    found = load({"auth": PAIR, "admin_key": "s" * 20}, {})
    assert PAIR not in repr(found)
    assert "s" * 20 not in repr(found)


def test_every_option_has_a_help_and_a_readable_default():
    """The reference is complete: a sentence each, defaults that parse."""
    for option in OPTIONS:
        assert option.help.endswith((".", ")")), option.name
        option.parser(option.default)


def test_every_option_does_something():
    """A setting that nothing reads would be a promise that nobody keeps."""
    read = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in MODULES)
    assert [option.name for option in OPTIONS if f"settings.{option.name}" not in read] == []


def test_the_reference_page_is_current():
    """docs/configuration.md says what the code says (`make docs` writes it)."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_limits_follow_the_settings():
    """System limits are upstream's, widened where a setting says so."""
    found = system_limits(load({"max_concurrency": "7"}, {"REWHISK_MAX_ACTION_MEMORY": "1g", "REWHISK_MAX_ACTION_TIMEOUT": "30s"}))
    assert (found.memory.min, found.memory.std, found.memory.max) == (128, 256, 1024)
    assert (found.timeout.min, found.timeout.std, found.timeout.max) == (100, 30_000, 30_000)
    assert found.concurrency.max == 7
    assert (found.blocking_wait, found.invocations_per_minute) == (60_000, None)
