"""The runtimes manifest: upstream's format, its lookups and its errors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.defaults import default_manifest, manifest_for
from config.errors import ManifestError
from config.load import load
from config.manifest import Manifest

IMAGE = {"prefix": "openwhisk", "name": "action-x", "tag": "nightly"}
CELL = {
    "initialCount": 2,
    "memory": "256 MB",
    "reactive": {"minCount": 1, "maxCount": 4, "ttl": "2 minutes", "threshold": 1, "increment": 1},
}
GOLDEN = Path(__file__).parent.parent / "golden" / "golden-runtimes.json"


def one(**more):
    return {"runtimes": {"x": [{"kind": "x:1", "image": IMAGE, **more}]}}


def problems(document):
    with pytest.raises(ManifestError) as info:
        Manifest.parse(document)
    return info.value.problems


def test_default_kinds():
    """The built-in manifest has the design's kinds and defaults."""
    manifest = default_manifest()
    assert [kind.kind for kind in manifest.kinds] == ["nodejs:20", "python:3", "python:3.11"]
    assert manifest.resolve("python:default").kind == "python:3"
    assert manifest.resolve("nodejs:default").kind == "nodejs:20"
    assert manifest.valid_kinds_text() == "'nodejs:20', 'python:3', 'python:3.11', 'sequence', 'blackbox'"


def test_golden_manifest_as_recorded():
    """The manifest of the recorded OpenWhisk, in the form that it answered at `/`."""
    info = Manifest.read(GOLDEN).as_info()
    assert info["java"] == [
        {
            "kind": "java:8",
            "image": "openwhisk/java8action:nightly",
            "deprecated": False,
            "default": True,
            "attached": True,
            "requireMain": True,
        }
    ]
    assert [(kind["kind"], kind["default"], kind["deprecated"]) for kind in info["nodejs"]] == [
        ("nodejs:18", False, True),
        ("nodejs:20", True, False),
    ]


@pytest.mark.parametrize("text", ["python:3", " PYTHON:3 ", "python:default", "Python:Default"])
def test_resolution_trims_and_lowers(text):
    """Kinds are compared as upstream does."""
    assert default_manifest().resolve(text).kind == "python:3"


@pytest.mark.parametrize("text", ["", "python", "python:", "java:8", "sequence", "blackbox", "python:3:4"])
def test_unknown_kinds(text):
    """What isn't in the manifest is None."""
    assert default_manifest().resolve(text) is None


def test_images():
    """`[registry/][prefix/]name[:tag]`; the image's registry wins over the configured one."""
    assert Manifest.parse(one()).kinds[0].image == "openwhisk/action-x:nightly"
    assert Manifest.parse(one(), "reg:5000/").kinds[0].image == "reg:5000/openwhisk/action-x:nightly"
    own = {"name": "a", "registry": "mine:1"}
    assert Manifest.parse({"runtimes": {"x": [{"kind": "x:1", "image": own}]}}, "reg:5000").kinds[0].image == "mine:1/a"


def test_fields():
    """All fields arrive, and what is absent has upstream's default."""
    full = Manifest.parse(
        one(default=True, deprecated=True, requireMain=True, sentinelledLogs=False, attached={"a": 1}, stemCells=[CELL])
    ).kinds[0]
    assert (full.default, full.deprecated, full.require_main, full.sentinelled_logs, full.attached) == (
        True,
        True,
        True,
        False,
        True,
    )
    cell = full.stem_cells[0]
    assert (cell.initial_count, cell.memory, cell.target, cell.reactive.ttl) == (2, 256, 1, 120)
    bare = Manifest.parse(one()).kinds[0]
    assert (bare.default, bare.deprecated, bare.require_main, bare.sentinelled_logs, bare.attached, bare.stem_cells) == (
        False,
        False,
        False,
        True,
        False,
        (),
    )
    assert Manifest.parse(one(stemCells=[{"count": 3, "memory": "128m"}])).stem_cells[0][1].target == 3


def test_single_version_families_need_no_default():
    """A family's only kind is its default."""
    assert Manifest.parse(one()).resolve("x:default").kind == "x:1"


@pytest.mark.parametrize(
    "empty", [{}, {"runtimes": None, "blackboxes": None}, {"description": "only"}, {"runtimes": {}}, {"runtimes": {"x": []}}]
)
def test_both_parts_may_be_missing(empty):
    """Upstream takes an empty manifest."""
    manifest = Manifest.parse(empty)
    assert (manifest.kinds, manifest.as_info()) == ((), {})


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "must be a JSON object"),
        ("x", "must be a JSON object"),
        ({"runtimes": []}, "runtimes"),
        ({"runtimes": {"x": {}}}, "runtimes.x"),
        ({"runtimes": {"x": [{}]}}, "runtimes.x[0].kind: Missing"),
        (one(kind="x"), "runtimes.x[0].kind: must be family:version"),
        (one(kind="x:default"), "must be family:version"),
        (one(kind=3), "runtimes.x[0].kind"),
        (one(image={"prefix": "p"}), "runtimes.x[0].image.name: Missing"),
        (one(image="name"), "runtimes.x[0].image"),
        (one(image={"name": ""}), "must not be empty"),
        (one(default="yes"), "runtimes.x[0].default"),
        (one(stemCells=[{"memory": "256 MB"}]), "initialCount"),
        (one(stemCells=[{"count": 0, "memory": "256 MB"}]), "count"),
        (one(stemCells=[{"count": 1, "memory": "many"}]), "must be a size"),
        (one(stemCells=[{**CELL, "reactive": {**CELL["reactive"], "minCount": 5}}]), "minCount: must not be more than maxCount"),
        (one(stemCells=[{**CELL, "reactive": {**CELL["reactive"], "ttl": "0s"}}]), "ttl"),
        (one(stemCells=[{**CELL, "reactive": {**CELL["reactive"], "increment": 9}}]), "increment"),
        ({"runtimes": {"x": [{"kind": "x:1", "image": IMAGE}, {"kind": "x:2", "image": IMAGE}]}}, "0 of its 2 kinds are default"),
        (
            {"runtimes": {"x": [{"kind": f"x:{n}", "image": IMAGE, "default": True} for n in (1, 2)]}},
            "2 of its 2 kinds are default",
        ),
        (
            {"runtimes": {"x": [{"kind": "y:1", "image": IMAGE}], "z": [{"kind": "y:1", "image": IMAGE}]}},
            "'y:1' is there more than once",
        ),
        ({"blackboxes": [{"tag": "x"}]}, "blackboxes[0].name"),
    ],
)
def test_errors_name_the_place(document, text):
    """A wrong manifest stops the start, and the line says where."""
    assert any(text in line for line in problems(document)), problems(document)


def test_files(tmp_path):
    """A manifest file is read; a missing or broken one is named."""
    file = tmp_path / "runtimes.json"
    file.write_text(json.dumps(one()))
    assert manifest_for(load({"runtimes": str(file)}, {})).resolve("x:1")
    assert manifest_for(load({}, {})).resolve("python:3")
    file.write_text("{")
    for path, text in ((file, "not JSON"), (tmp_path / "none", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ManifestError, match=text) as info:
            Manifest.read(path)
        assert str(path) in str(info.value)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["runtimes", "x", "kind", "image", "name", "stemCells", "blackboxes"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_manifest_or_a_manifest_error(document):
    """No document can make parsing fail in another way."""
    try:
        Manifest.parse(document)
    except ManifestError as error:
        assert error.problems
