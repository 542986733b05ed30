"""Topics, the reader and the writer, with a real broker."""

import asyncio
import os
import uuid
from dataclasses import replace

import pytest

from config.settings import Settings
from services.kafka import Kafka, Listener
from services.process import free_port
from tests.support.certificates import Authority
from transport.kafka import LARGEST, TOPICS, Access, access_of, ensure_topics, topic_name
from transport.kafka_consumer import LATEST, Position, TopicConsumer, begin_at
from transport.kafka_producer import Overflow, Sent, TopicProducer, Unsent


@pytest.mark.parametrize(
    ("wanted", "committed", "first", "end", "position"),
    [
        (None, None, 3, 9, Position(3)),
        (None, 5, 0, 9, Position(5)),
        (7, 5, 0, 9, Position(7)),
        (9, None, 0, 9, Position(9)),
        (10, None, 2, 9, Position(2, anew=True)),
        (1, None, 4, 9, Position(4, gone=3)),
        (None, 1, 4, 9, Position(4, gone=3)),
        (LATEST, 1, 4, 9, Position(9)),
        (0, None, 0, 0, Position(0)),
    ],
)
def test_where_reading_begins(wanted, committed, first, end, position):
    """The reader's own position before the group's commit; what is gone is counted; a topic made anew is read whole."""
    assert begin_at(wanted, committed, first, end) == position


@pytest.mark.parametrize(("name", "good"), [("completed0", True), ("a/b", False), ("", False), ("..", False), ("x" * 250, False)])
def test_names_of_topics(name, good):
    assert topic_name(name) is good


class Reader:
    """A consumer with what it delivered and told."""

    def __init__(self, access, topic, *, window=None, group=None):
        self.records = []
        self.told = []
        self.consumer = TopicConsumer(
            access,
            topic,
            group or topic,
            self.records.extend,
            instrument=lambda step, facts: self.told.append((step, facts)),
            window=window,
        )

    @property
    def values(self):
        return [each.value for each in self.records]


async def until(condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def sent(producer, topic, *values):
    loop = asyncio.get_running_loop()
    futures = []
    for value in values:
        future = loop.create_future()
        futures.append(future)
        producer.send(topic, value, future.set_result)
    return await asyncio.wait_for(asyncio.gather(*futures), 60)


@pytest.fixture
async def topic(broker):
    """Access, name of a new topic, and a producer."""
    access = Access((broker.address,), f"t{uuid.uuid4().hex[:8]}-")
    name = access.topic("invoker", 0)
    await asyncio.to_thread(ensure_topics, access, {name: "invoker"})
    producer = TopicProducer(access, "test")
    yield access, name, producer
    await producer.close()


@pytest.mark.kafka
async def test_topics_have_upstreams_settings_and_existing_ones_stay(broker, topic):
    """Made once; made again nothing changes, whatever the kind says."""
    from kafka.admin import ConfigResource, KafkaAdminClient

    access, name, _ = topic
    await asyncio.to_thread(ensure_topics, access, {name: "health", access.topic("health"): "health"})

    def describe():
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        try:
            return admin.describe_configs([ConfigResource("TOPIC", name)])
        finally:
            admin.close()

    found = str(await asyncio.to_thread(describe))
    for key, value in TOPICS["invoker"].items():
        assert key in found
        assert value in found


@pytest.mark.kafka
async def test_what_is_written_is_read_in_order(topic):
    """Offsets and the broker's times come along; reading goes on where the group committed."""
    access, name, producer = topic
    outcomes = await sent(producer, name, *(b"%d" % n for n in range(50)))
    assert [each.offset for each in outcomes] == list(range(50))
    reader = Reader(access, name)
    reader.consumer.start()
    await until(lambda: len(reader.records) == 50)
    assert reader.values == [b"%d" % n for n in range(50)]
    assert reader.records[0].at > 1_700_000_000_000
    reader.consumer.commit(30)
    await reader.consumer.close()
    again = Reader(access, name)
    again.consumer.start()
    await until(lambda: len(again.records) == 20)
    assert again.records[0].offset == 30
    await again.consumer.close()
    own = Reader(access, name)
    own.consumer.start(45)
    await until(lambda: len(own.records) == 5)
    await own.consumer.close()


@pytest.mark.kafka
async def test_no_more_is_read_than_wanted(topic):
    """Backpressure: the rest stays with the broker until it is asked for."""
    access, name, producer = topic
    await sent(producer, name, *(b"%d" % n for n in range(20)))
    reader = Reader(access, name, window=3)
    reader.consumer.start()
    await until(lambda: len(reader.records) == 3)
    await asyncio.sleep(0.5)
    assert len(reader.records) == 3
    reader.consumer.want(5)
    await until(lambda: len(reader.records) == 8)
    await reader.consumer.close()
    assert reader.values == [b"%d" % n for n in range(8)]


@pytest.mark.kafka
async def test_from_the_end(topic):
    """LATEST: nothing of what was there before."""
    access, name, producer = topic
    await sent(producer, name, b"old")
    reader = Reader(access, name)
    reader.consumer.start(LATEST)
    await until(lambda: reader.told)
    await sent(producer, name, b"new")
    await until(lambda: reader.records)
    await reader.consumer.close()
    assert reader.values == [b"new"]


@pytest.mark.kafka
async def test_how_a_message_fared(topic):
    """Too large for the client or the topic, no such topic, no name of a topic: each is told for certain, and holds up nothing."""
    access, name, producer = topic
    small = access.topic("small")

    def make():
        from kafka.admin import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=list(access.servers))
        options = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "1000"}}
        admin.create_topics({small: options})
        admin.close()

    await asyncio.to_thread(make)
    (huge,) = await sent(producer, name, os.urandom(LARGEST + 1000))
    (large,) = await sent(producer, small, os.urandom(2000))
    (missing,) = await sent(producer, access.topic("completed", 7), b"x")
    (wrong,) = await sent(producer, "a/b", b"x")
    (good,) = await sent(producer, name, os.urandom(LARGEST - 200))
    assert (huge.too_large, huge.certain) == (True, True)
    assert (large.too_large, large.certain) == (True, True)
    assert (missing.no_topic, missing.too_large) == (True, False)
    assert wrong.no_topic
    assert isinstance(good, Sent)
    await asyncio.to_thread(ensure_topics, access, {access.topic("completed", 7): "completed"})
    async with asyncio.timeout(30):
        while not isinstance((await sent(producer, access.topic("completed", 7), b"x"))[0], Sent):
            await asyncio.sleep(0.2)


async def test_no_more_waits_than_may():
    """Without a broker messages are given up in time, and one more than the bound is refused at once."""
    producer = TopicProducer(Access(("127.0.0.1:1",)), "test", bound=2, patience=0.3)
    outcomes = []
    producer.send("t", b"1", outcomes.append)
    producer.send("t", b"2", outcomes.append)
    with pytest.raises(Overflow):
        producer.send("t", b"3", outcomes.append)
    await until(lambda: len(outcomes) == 2)
    assert all(isinstance(each, Unsent) for each in outcomes)
    producer.send("t", b"4", outcomes.append)
    await producer.close(0)


@pytest.mark.kafka
async def test_a_broker_that_dies_and_comes_back(own_broker):
    """Reading and writing go on by themselves; what was confirmed is read once, in order."""
    access = Access((own_broker.address,))
    await asyncio.to_thread(ensure_topics, access, {"invoker0": "invoker"})
    producer = TopicProducer(access, "test")
    reader = Reader(access, "invoker0")
    reader.consumer.start()
    await sent(producer, "invoker0", b"1")
    await until(lambda: len(reader.records) == 1)
    await asyncio.to_thread(own_broker.kill)
    outcomes = []
    producer.send("invoker0", b"2", outcomes.append)
    await asyncio.to_thread(own_broker.start)
    await until(lambda: outcomes)
    assert isinstance(outcomes[0], Sent)
    await sent(producer, "invoker0", b"3")
    await until(lambda: len(reader.records) >= 3)
    assert reader.values == [b"1", b"2", b"3"]
    await reader.consumer.close()
    await producer.close()


@pytest.mark.kafka
async def test_a_topic_made_anew_and_messages_that_are_gone(topic):
    """Read from the beginning, or from the first that is there: how many are missing is told."""
    from kafka import TopicPartition
    from kafka.admin import KafkaAdminClient

    access, name, producer = topic
    await sent(producer, name, *(b"%d" % n for n in range(10)))

    def delete():
        admin = KafkaAdminClient(bootstrap_servers=list(access.servers))
        admin.delete_records({TopicPartition(name, 0): 4})
        admin.close()

    await asyncio.to_thread(delete)
    reader = Reader(access, name)
    reader.consumer.start(1)
    await until(lambda: len(reader.records) == 6)
    await reader.consumer.close()
    anew = Reader(access, name)
    anew.consumer.start(1000)
    await until(lambda: len(anew.records) == 6)
    await anew.consumer.close()
    assert reader.told[0][1]["gone"] == 3
    assert anew.told[0][1]["anew"] is True


@pytest.mark.kafka
async def test_tls_and_sasl(kafka_libs, tmp_path):
    """By the settings: the right authority and password write and read; a wrong one of either does not."""
    authority = Authority(tmp_path / "certificates")
    cert, key = authority.issue("broker")
    store = tmp_path / "broker.pem"
    store.write_bytes(key.read_bytes() + cert.read_bytes())
    port = free_port()
    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'user_node="secret-of-node";',
    }
    secure = Listener("SECURE", port, port, "SASL_SSL")
    kafka = Kafka(kafka_libs, tmp_path / "kafka", listeners=[secure], properties=properties)
    await asyncio.to_thread(kafka.start)
    try:
        given = Settings(
            kafka=(f"localhost:{port}",), kafka_protocol="sasl_ssl", kafka_ca=authority.ca, kafka_mechanism="plain",
            kafka_user="node", kafka_password="secret-of-node",
        )  # fmt: skip
        access = access_of(given)
        await asyncio.to_thread(ensure_topics, access, {"invoker0": "invoker"})
        producer = TopicProducer(access, "test")
        assert isinstance((await sent(producer, "invoker0", b"1"))[0], Sent)
        await producer.close()
        reader = Reader(access, "invoker0")
        reader.consumer.start()
        await until(lambda: reader.values == [b"1"])
        await reader.consumer.close()
        for wrong in (replace(given, kafka_password="wrong"), replace(given, kafka_ca=Authority(tmp_path / "other").ca)):
            refused = TopicProducer(access_of(wrong), "test", patience=1.0)
            assert isinstance((await sent(refused, "invoker0", b"2"))[0], Unsent)
            await refused.close(0)
    finally:
        kafka.kill()
