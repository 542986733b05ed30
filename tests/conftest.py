"""For all tests: hypothesis judges properties, not how busy the machine is; a real broker for those that ask for one."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
