"""What all cluster tests share: one broker, one database; each test has topics and databases of its own by prefix."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kafka import Kafka
from tests.cluster.cluster import Cluster
from tests.cluster.couch import Couch

_prefixes = itertools.count()


@pytest.fixture(scope="session")
def couch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Couch]:
    """A database that no test stops."""
    service = Couch(tmp_path_factory.mktemp("couch"))
    service.start()
    yield service
    service.kill()


@pytest.fixture
def cluster(broker: Kafka, couch: Couch, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose broker and database go on for ever."""
    made = Cluster(tmp_path, broker, couch, f"t{next(_prefixes)}-")
    yield made
    made.close()


@pytest.fixture
def own_cluster(own_broker: Kafka, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose broker and database are its own, to be killed."""
    own_couch = Couch(tmp_path / "couch")
    own_couch.start()
    made = Cluster(tmp_path, own_broker, own_couch, "")
    yield made
    made.close()
    own_couch.kill()
