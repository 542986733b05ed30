"""Base images from the machine's own packages, for machines that reach no image registry.

Debian packages are downloaded with all they depend on, unpacked without being installed, and archived. Needs `apt-get` and
`dpkg-deb` with package lists, no root. Measured: 5.5 s for Python (62 MB), of which compiling the standard library, without
which each import of http.server, json and asyncio costs a container 250 ms, is about half.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from containers.image_files import EPOCH

PATIENCE = 600.0
"""Seconds for one program; downloads may be slow."""
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/lib/udev")
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
NODE_MAJOR = "20"

Say = Callable[[str], None]


class CannotBuild(Exception):
    """This machine's packages don't give the image; the text says why."""


def available() -> bool:
    """Whether the programs are there."""
    return all(shutil.which(name) for name in ("apt-get", "apt-cache", "dpkg-deb"))


def python_tree(root: Path, say: Say) -> str:
    """Make a file tree with Python 3.11, or the machine's own 3.x; its version. Blocks. Raises CannotBuild, OSError."""
    package = "python3.11" if _candidate("python3.11") else _default_python()
    _system(root, [package], say)
    program = root / "usr/bin" / package
    (root / "usr/bin/python3").symlink_to(package)
    say("compiling Python's standard library")
    library = root / "usr/lib" / package
    _run([
        *_loader(root), str(program), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
        "-s", str(root), str(library),
    ], environment={"PYTHONHOME": str(root / "usr")})  # fmt: skip
    return _run([*_loader(root), str(program), "--version"], environment={"PYTHONHOME": str(root / "usr")}).split()[-1]


def node_tree(root: Path, say: Say) -> str:
    """Make a file tree with Node.js: the machine's own if its major version is 20, else Debian's; its version.

    Blocks. Raises CannotBuild, OSError.
    """
    own = shutil.which("node")
    version = _run([own, "--version"]).strip() if own else ""
    if own and version.startswith(f"v{NODE_MAJOR}."):
        _system(root, [], say)
        say(f"taking this machine's Node.js {version} and its libraries")
        program = Path(own).resolve()
        for library in _libraries(program):
            _copy(library, root / library.relative_to("/"))
        _copy(program, root / "usr/bin/node")
        return version
    _system(root, [_debian_node()], say)
    if not (root / "usr/bin/node").exists():
        (root / "usr/bin/node").symlink_to("nodejs")
    return _run([*_loader(root), str(root / "usr/bin/node"), "--version"]).strip()


def _system(root: Path, packages: list[str], say: Say) -> None:
    """The tree with these packages, a shell, certificates of authorities, and what every system has."""
    root.mkdir()
    archives = root.parent / "archives"
    (archives / "partial").mkdir(parents=True)
    (root.parent / "status").touch()
    wanted = [*packages, "busybox-static"]
    say(f"downloading {', '.join(wanted)} and what they need from Debian")
    _run([
        "apt-get", "-qq", "-y", "--download-only", "-o", f"Dir::State::status={root.parent / 'status'}",
        "-o", f"Dir::Cache::archives={archives}", "-o", "APT::Install-Recommends=false", "-o", "Debug::NoLocking=1",
        "-o", "APT::Sandbox::User=root", "install", *wanted,
    ])  # fmt: skip
    _run(["apt-get", "-qq", "download", "-o", "APT::Sandbox::User=root", "ca-certificates"], cwd=archives)
    say("unpacking")
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(root)])
    for link, target in LINKS.items():
        _merge(root / link, root / target)
        (root / link).symlink_to(target)
    _finish(root)


def _merge(source: Path, target: Path) -> None:
    """Move what is in one directory into another, where it may have namesakes; the first one is gone afterwards."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()) if source.is_dir() else []:
        if path.is_dir() and not path.is_symlink():
            _merge(path, target / path.name)
        else:
            path.replace(target / path.name)
    if source.is_dir():
        source.rmdir()


def _finish(root: Path) -> None:
    """What the scripts of the packages would have done, and what no action needs removed."""
    authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    certificates = root / "etc/ssl/certs/ca-certificates.crt"
    certificates.parent.mkdir(parents=True, exist_ok=True)
    certificates.write_bytes(b"".join(path.read_bytes() for path in authorities))
    for name in UNUSED:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("proc", "sys", "dev", "root", "var/tmp", "run", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    for name, text in FILES.items():
        (root / name).write_text(text)
    for applet in _run([str(root / "usr/bin/busybox"), "--list"]).split():
        place = root / "usr/bin" / applet
        if not place.exists() and not place.is_symlink():
            place.symlink_to("busybox")


def _candidate(package: str) -> bool:
    found = _run(["apt-cache", "policy", package])
    return bool(re.search(r"Candidate: (?!\(none\))\S", found))


def _default_python() -> str:
    found = re.search(r"Depends: (python3\.\d+)$", _run(["apt-cache", "depends", "python3"]), re.MULTILINE)
    if found is None:
        raise CannotBuild("the package lists know no Python 3; `apt-get update` fetches them")
    return found[1]


def _debian_node() -> str:
    """The distribution's own Node.js, also where another is pinned."""
    lines = [line.split("|") for line in _run(["apt-cache", "madison", "nodejs"]).splitlines() if line.count("|") >= 2]
    own = [parts[1].strip() for parts in lines if re.search(r"debian|ubuntu", parts[2])]
    if not lines:
        raise CannotBuild("the package lists know no Node.js; `apt-get update` fetches them")
    return f"nodejs={own[0]}" if own else "nodejs"


def _libraries(program: Path) -> list[Path]:
    """The shared libraries of a program, the loader included."""
    return [Path(name) for name in re.findall(r"(/\S+) \(0x", _run(["ldd", str(program)]))]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.resolve(), target)


def _loader(root: Path) -> list[str]:
    """The command that runs the tree's programs with the tree's libraries, without entering it."""
    loaders = [path for path in sorted((root / "usr/lib").rglob("ld-linux*.so.*")) if path.is_file() and not path.is_symlink()]
    if not loaders:
        raise CannotBuild("the packages hold no C library")
    return [str(loaders[0]), "--library-path", str(loaders[0].parent)]


def _run(command: list[str], cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What a program prints. Raises CannotBuild with what it complained about."""
    given = {**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": str(EPOCH), **(environment or {})}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd, env=given, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuild(f"{command[0]}: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise CannotBuild(f"{Path(command[0]).name}: {said[-1]}")
    return done.stdout.decode(errors="replace")
