"""A real broker, as the project installs and starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.errors import ServiceError
from services.kafka import Kafka
from services.process import wait_until
from tests.fences import ROOT

pytestmark = pytest.mark.kafka


def produced(address, topic="t"):
    from kafka import KafkaProducer
    from kafka.admin import KafkaAdminClient, NewTopic
    from kafka.errors import TopicAlreadyExistsError

    admin = KafkaAdminClient(bootstrap_servers=address)
    try:
        admin.create_topics([NewTopic(topic, 1, 1)])
    except TopicAlreadyExistsError:
        pass
    finally:
        admin.close()
    producer = KafkaProducer(bootstrap_servers=address)
    offset = producer.send(topic, b"x").get(30).offset
    producer.close()
    return offset


def test_what_was_acknowledged_survives_kill(own_broker):
    """Killed and started again on its data, at the same address; a second start of a living one is none."""
    assert produced(own_broker.address) == 0
    first = own_broker.pid
    own_broker.restart()
    assert own_broker.pid not in (None, first)
    assert own_broker.start() is False
    assert produced(own_broker.address) == 1
    assert own_broker.stop() is True
    assert own_broker.stop() is False


def test_a_taken_port_is_named(broker, kafka_libs, tmp_path):
    """Not a wait for a broker that can't come."""
    with pytest.raises(ServiceError, match=f"port {broker.port} is taken"):
        Kafka(kafka_libs, tmp_path, broker.port).start()


def test_it_dies_with_the_tests(kafka_libs, tmp_path):
    """A test run that is killed leaves no broker behind."""
    code = f"""
import os, pathlib, time
from services.kafka import Kafka
kafka = Kafka(pathlib.Path({str(kafka_libs)!r}), pathlib.Path({str(tmp_path)!r}))
kafka.start()
print(kafka.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20)


def test_wrong_usage():
    """Unknown services are told with the known ones."""
    done = subprocess.run(
        [sys.executable, "-m", "services", "up", "zookeeper"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "no service zookeeper; there are: kafka" in done.stderr
