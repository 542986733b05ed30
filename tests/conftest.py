"""For all tests: hypothesis judges properties, not how busy the machine is; a real broker for those that ask for one."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from services import couchdb as couchdb_service
from services.couchdb import CouchDb
from services.kafka import Kafka, install

settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

SERVICES = Path(os.environ.get("REWHISK_SERVICES", ".services")).absolute()


@pytest.fixture(scope="session")
def kafka_libs():
    """The jars of a real broker, fetched once per machine."""
    return install(SERVICES)


@pytest.fixture(scope="session")
def broker(kafka_libs, tmp_path_factory):
    """A real broker that all tests share: each takes topics of its own, and none stops it."""
    kafka = Kafka(kafka_libs, tmp_path_factory.mktemp("kafka"))
    kafka.start()
    yield kafka
    kafka.kill()


@pytest.fixture
def own_broker(kafka_libs, tmp_path):
    """A real broker of the test's own, to be killed and started again."""
    kafka = Kafka(kafka_libs, tmp_path / "kafka")
    kafka.start()
    yield kafka
    kafka.kill()


@pytest.fixture(scope="session")
def couchdb_packages():
    """The packages of a real server of CouchDB's protocol, fetched once per machine."""
    return couchdb_service.install(SERVICES)


@pytest.fixture(scope="session")
def couchdb(couchdb_packages, tmp_path_factory):
    """A real server that all tests share: each takes databases of its own, and none stops it."""
    server = CouchDb(couchdb_packages, tmp_path_factory.mktemp("couchdb"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_couchdb(couchdb_packages, tmp_path):
    """A real server of the test's own, to be killed and started again."""
    server = CouchDb(couchdb_packages, tmp_path / "couchdb")
    server.start()
    yield server
    server.kill()
