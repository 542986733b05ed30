"""`backup` and `restore`: the way there and back, and every refusal with its reason."""


def test_there_and_back(cli, tmp_path):
    """What was in the store is in the restored one; the file is private."""
    made = cli("user", "create", "alice", "--data-dir", tmp_path / "a").out
    found = cli("backup", tmp_path / "b.db", "--data-dir", tmp_path / "a")
    assert found.code == 0
    assert (tmp_path / "b.db").stat().st_mode & 0o777 == 0o600
    assert cli("restore", tmp_path / "b.db", "--data-dir", tmp_path / "c").code == 0
    assert cli("user", "get", "alice", "--data-dir", tmp_path / "c").out == made


def test_refusals(cli, tmp_path):
    """No store, a directory as target, a file that is no backup."""
    assert cli("backup", tmp_path / "b.db", "--data-dir", tmp_path / "none").code == 4
    cli("user", "create", "alice", "--data-dir", tmp_path / "a")
    assert "directory" in cli("backup", tmp_path, "--data-dir", tmp_path / "a").err
    (tmp_path / "x").write_text("no database")
    for name in ("x", "none.db"):
        found = cli("restore", tmp_path / name, "--data-dir", tmp_path / "a")
        assert found.code == 4
        assert name in found.err
    assert cli("user", "get", "alice", "--data-dir", tmp_path / "a").code == 0
