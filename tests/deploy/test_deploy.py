"""deploy/ against what reads it: the schemas of compose files and of Kubernetes, systemd's form, and this project's own flags."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from config.load import load
from config.settings import BY_NAME, OPTIONS, Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
VERSION = "1.34"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SHELL = {'"${HOSTNAME##*-}"': "0", '"${POD_NAME##*-}"': "0"}
ADDRESS = {"$POD_IP": "10.0.0.1"}


def objects(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def kubernetes_lines() -> Iterator[list[str]]:
    for path in MANIFESTS:
        for each in objects(path):
            if each["kind"] == "StatefulSet":
                text = each["spec"]["template"]["spec"]["containers"][0]["args"][0].partition("run.py ")[2]
                for expression, value in (SHELL | ADDRESS).items():
                    text = text.replace(expression, value)
                yield shlex.split(text)


def compose_lines() -> Iterator[list[str]]:
    for service in COMPOSE["services"].values():
        if service["image"] == "rewhisk":
            yield service["command"]


def systemd_lines() -> Iterator[list[str]]:
    for path in DEPLOY.glob("*.service"):
        line = re.search(r"^ExecStart=.* run\.py (.*)$|^ExecStart=\S+ \S+/run\.py (.*)$", path.read_text(), re.MULTILINE)
        assert line
        yield shlex.split((line[1] or line[2]).replace("%i", "0"))


LINES = [*kubernetes_lines(), *compose_lines(), *systemd_lines()]


def test_the_compose_file_is_one() -> None:
    schema = json.loads((ROOT / "tests/golden/compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(COMPOSE)
    assert set(COMPOSE["services"]) == {"nginx", "controller0", "controller1", "invoker0", "invoker1", "kafka", "couchdb"}
    volumes = {volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", ())}
    assert {each for each in volumes if not each.startswith((".", "/"))} == set(COMPOSE["volumes"])
    assert all((DEPLOY / each).exists() for each in volumes if each.startswith("./") and each != "./tls")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_are_kubernetes_objects(path: Path) -> None:
    found = objects(path)
    assert found
    for each in found:
        kubernetes_validate.validate(each, VERSION, strict=True)


def test_manifests_belong_together() -> None:
    """Every resource is in the kustomization; services select pods that there are; probes ask ports that are open."""
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in MANIFESTS)
    everything = [each for path in MANIFESTS for each in objects(path)]
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in everything if each["kind"] == "StatefulSet"]
    for each in everything:
        if each["kind"] == "Service":
            assert each["spec"]["selector"] in labels
        if each["kind"] == "StatefulSet":
            assert each["spec"]["selector"]["matchLabels"] == each["spec"]["template"]["metadata"]["labels"]
            services = [other["metadata"]["name"] for other in everything if other["kind"] == "Service"]
            assert each["spec"]["serviceName"] in services


def test_ordinals_are_ids() -> None:
    """Shell takes the number after the last dash, as StatefulSets name their pods."""
    text = "".join(path.read_text() for path in MANIFESTS)
    for expression in SHELL:
        assert f"--id {expression}" in text


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_every_command_line_is_one_that_run_py_takes(words: list[str]) -> None:
    """Each flag exists and each value is taken, those of the configuration file aside."""
    command, *rest = words
    assert command in {"node", "controller"}
    flags = dict(zip(rest[::2], rest[1::2], strict=True))
    known = {f"--{option.key}": option.name for option in OPTIONS if option.flag}
    flags.pop("--config", None)
    assert flags.keys() <= known.keys()
    settings = load({known[flag]: value for flag, value in flags.items()}, {})
    assert isinstance(settings, Settings)


def test_every_variable_is_a_setting() -> None:
    config, secret = objects(DEPLOY / "kubernetes/config.yaml")
    given = {**config["data"], **secret["stringData"]}
    variables = dict(given)
    for service in COMPOSE["services"].values():
        if service["image"] == "rewhisk":
            variables |= dict.fromkeys(service["environment"], "")
    for name in variables:
        assert name.removeprefix("REWHISK_").lower() in BY_NAME, name
    assert load({}, given).kafka


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.service")), ids=lambda path: path.stem)
def test_units_have_systemds_form(path: Path) -> None:
    """Sections and keys that systemd knows; the stop leaves the drain its time."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    assert unit.sections() == ["Unit", "Service", "Install"]
    assert float(unit["Service"]["TimeoutStopSec"]) > Settings().drain_timeout
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_graces_leave_the_drain_its_time() -> None:
    for service in COMPOSE["services"].values():
        if service["image"] == "rewhisk":
            assert int(service["stop_grace_period"].rstrip("s")) > Settings().drain_timeout
    config = objects(DEPLOY / "kubernetes/config.yaml")[0]["data"]
    drain = load({}, config).drain_timeout
    for path in MANIFESTS:
        for each in objects(path):
            if each["kind"] == "StatefulSet":
                assert each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > drain


def test_the_image_has_all_that_runs() -> None:
    """What the Dockerfile copies or leaves out is there; scripts can be run."""
    text = (DEPLOY / "Dockerfile").read_text()
    for package in ("actors", "config", "console", "containers", "controller", "messages", "store", "transport"):
        assert re.search(rf"compileall.*\b{package}\b", text)
        assert (ROOT / package).is_dir()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert not {"runtimes", "config", "run.py", "deploy"} & set(ignored)
    assert (DEPLOY / "certificate.sh").stat().st_mode & stat.S_IXUSR


def test_nginx_lets_only_the_api_through() -> None:
    """Balanced braces, TLS, and nothing but the API and the ping behind it."""
    text = re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text())
    assert text.count("{") == text.count("}")
    assert re.findall(r"location (?:= )?(\S+) \{ proxy_pass", text) == ["/api/v1", "/ping"]
    assert "listen 443 ssl" in text
    ports = {service["command"][-1] for name, service in COMPOSE["services"].items() if name.startswith("controller")}
    assert set(re.findall(r"server 127\.0\.0\.1:(\d+)", text)) == ports
