"""Drives Apache Thrift's Python client through every method of `ThriftTest`, in one dialect.

Ends with an error if there is a method that it did not call.
"""

import argparse
import sys
import time
import uuid

import calls.Probe
import calls.SecondService
import calls.ThriftTest
import recorder
import uuids
from calls.ttypes import Digit, Insanity, Nest, Rest, Thing
from connection import Connection

TEXTS = ["", "Python", "Grüße, 世界 🐍", 'quote " backslash \\ slash / tab \t line \n end', "x" * 300]
THING = Thing("Zero", 1, -3, -5)


def scalars(probe):
    recorder.group("scalars")
    probe.testVoid()
    for text in TEXTS:
        probe.testString(text)
    for yes in (True, False):
        probe.testBool(yes)
    for number in (0, 1, -1, 127, -128):
        probe.testByte(number)
    for number in (0, 1, -1, 300, 2**31 - 1, -(2**31)):
        probe.testI32(number)
    for number in (0, -1, 2**34, 2**63 - 1, -(2**63)):
        probe.testI64(number)
    for number in (0.0, -0.0, 5.235098235, -1e300, 1e-300, 0.1 + 0.2):
        probe.testDouble(number)
    for data in (b"", b"\0", bytes(range(256))):
        probe.testBinary(data)
    probe.testEnum(Digit.ONE)
    probe.testEnum(Digit.EIGHT)
    probe.testTypedef(309_858_235_082_523)


def structures(probe):
    recorder.group("structures")
    probe.testStruct(THING)
    probe.testStruct(Thing())
    probe.testNest(Nest(1, THING, 5))
    probe.testNest(Nest())
    probe.testMap({n: n - 10 for n in range(5)})
    probe.testMap({})
    probe.testStringMap({"a": "2", "b": "blah", "some": "thing", "": "empty"})
    probe.testSet({8, 1, 42, -1})
    probe.testSet(set())
    probe.testList([1, 4, 9, 16])
    probe.testList(list(range(14)))
    probe.testList(list(range(15)))
    probe.testList([])
    probe.testMapMap(42)
    probe.testInsanity(Insanity({Digit.FIVE: 5, Digit.EIGHT: 8}, [THING, Thing("Goodbye4", 4, 4, 4)]))
    probe.testInsanity(Insanity())
    probe.testMulti(74, 0xFF, 0xFFFFFFFF, {0: "none", 1: "eins", -1: ""}, Digit.FIVE, 0xF0)
    probe.rest(
        Rest(
            yes=True,
            no=False,
            short=-32768,
            answers=[True, False, True],
            words={"a", "b", ""},
            deep={"x": [{1, 2}, set()], "": []},
            numbers=[1.5, -2.25],
            nests=[Nest(3, THING, 4), Nest()],
            blobs={2**40: b"\xff\x00", -1: b""},
            empty=[{}, {1: -1}],
            last=7,
        )
    )
    probe.rest(Rest())


def exceptions(probe):
    recorder.group("exceptions")
    for which in ("Xception", "TException", "success"):
        probe.testException(which)
    for which in ("Xception", "Xception2", "success"):
        probe.testMultiException(which, "some text")
    # After an exception the connection goes on.
    probe.testVoid()


def big(probe, dialect):
    """Python reads JSON character by character: less of it."""
    recorder.group("big")
    size = 5_000 if "json" in dialect else 100_000
    probe.testString("0123456789" * size)
    probe.testBinary(bytes(range(256)) * (size // 100))
    probe.testList(list(range(-size // 40, size // 40)))
    probe.testStringMap({f"key-{n}": f"value-{n}" for n in range(size // 50)})


def oneway(probe):
    """Has no reply: whether it came is asked on the same connection until it has."""
    recorder.group("oneway")
    number = int.from_bytes(uuid.uuid4().bytes[:3], "big")
    for _ in range(3):
        recorder.CALLED.add("testOneway")
        probe.testOneway(number)
    end = time.monotonic() + 20
    while (heard := probe.heard(number)) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    recorder.CALLED.add("heard")
    recorder.step("testOneway, three times", heard)


def headers(connection, probe):
    """Info headers in both directions; dialects without any have none."""
    recorder.group("headers")
    sent = [{}, {b"tenant": b"gold"}, {b"a": b"", b"": b"b", b"long": b"l" * 300, b"bin": b"\x01\x7f"}]
    for some in sent:
        if hasattr(connection.transport, "set_header"):
            for name, value in some.items():
                connection.transport.set_header(name, value)
        probe.headers()
        got = getattr(connection.transport, "get_headers", dict)()
        recorder.step("headers of the reply", recorder.plain(got))


def multiplexed(connection):
    recorder.group("multiplexed")
    first = recorder.Recorder(connection.service(calls.ThriftTest, "ThriftTest"), "ThriftTest:")
    second = recorder.Recorder(connection.service(calls.SecondService, "SecondService"), "Second:")
    for _ in range(2):
        first.testString("one")
        second.secondtestString("two")
        first.testException("Xception")
    # A method that the service does not have is the server's to refuse.
    recorder.Recorder(connection.service(calls.SecondService, "ThriftTest"), "wrong:").secondtestString("x")
    first.testI32(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dialect", required=True)
    args = parser.parse_args()
    connection = Connection(args.port, args.dialect)
    probe = recorder.Recorder(connection.client)
    scalars(probe)
    structures(probe)
    exceptions(probe)
    big(probe, args.dialect)
    oneway(connection.client)
    recorder.group("uuid")
    for thing in (uuid.UUID(int=0), uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")):
        recorder.CALLED.add(uuids.NAME)
        recorder.step(f"testUuid({thing})", recorder.plain(uuids.call(connection.protocol, thing)))
    headers(connection, probe)
    multiplexed(connection)
    recorder.group("end")
    probe.who()
    connection.close()
    everything = set()
    for module in (calls.Probe, calls.SecondService, calls.ThriftTest):
        everything |= {name for name in dir(module.Iface) if not name.startswith("_")}
    # Calls that a router answers in ways of its own, see errors.py.
    missing = everything - recorder.CALLED - {"wait", "die"}
    if missing:
        sys.exit(f"never called: {sorted(missing)}")
    recorder.end()


main()
