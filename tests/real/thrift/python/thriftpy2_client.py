"""Drives thriftpy2, which shares no code with Apache's library, through `ThriftTest`.

It reads `calls.thrift` itself. It has no THeader, no UUID, no binary without a version, and its JSON
(0.7.1) knows no maps with enum keys and no maps of maps.
"""

import argparse
import pathlib
import sys
import time
import uuid

import recorder
import thriftpy2
from thriftpy2.protocol import (
    TBinaryProtocolFactory,
    TCompactProtocolFactory,
    TMultiplexedProtocolFactory,
)
from thriftpy2.rpc import make_client
from thriftpy2.transport import TBufferedTransportFactory, TFramedTransportFactory

TRANSPORTS = {"buffered": TBufferedTransportFactory, "framed": TFramedTransportFactory}
PROTOCOLS = {
    "binary": TBinaryProtocolFactory,
    "compact": TCompactProtocolFactory,
}
calls = thriftpy2.load(
    str(pathlib.Path(__file__).parent.parent / "calls.thrift"), module_name="calls_thrift"
)


def connect(port, dialect, service, name=None):
    transport, protocol = dialect.split("-")
    protocols = PROTOCOLS[protocol]()
    if name:
        protocols = TMultiplexedProtocolFactory(protocols, name)
    transports = TRANSPORTS[transport]()
    options = {"proto_factory": protocols, "trans_factory": transports, "timeout": 20_000}
    return make_client(service, "127.0.0.1", port, **options)


def values(probe):
    recorder.group("values")
    thing = calls.Thing(string_thing="Zero", byte_thing=1, i32_thing=-3, i64_thing=-5)
    probe.testVoid()
    for text in ("", "thriftpy2", "Grüße, 世界", "x" * 100_000):
        probe.testString(text)
    for yes in (True, False):
        probe.testBool(yes)
    for number in (0, -1, 127, -128):
        probe.testByte(number)
    for number in (0, -1, 2**31 - 1, -(2**31)):
        probe.testI32(number)
    for number in (0, -1, 2**63 - 1, -(2**63)):
        probe.testI64(number)
    for number in (0.0, 5.25, -1e300, 1e-300):
        probe.testDouble(number)
    probe.testBinary(bytes(range(256)))
    probe.testStruct(thing)
    probe.testNest(calls.Nest(byte_thing=1, struct_thing=thing, i32_thing=5))
    probe.testMap({0: -10, 1: -9})
    probe.testStringMap({"a": "2", "some": "thing"})
    probe.testSet({1, 2, 3})
    probe.testList(list(range(1000)))
    probe.testEnum(calls.Digit.EIGHT)
    probe.testTypedef(309_858_235_082_523)
    probe.testMapMap(42)
    probe.testInsanity(calls.Insanity(users={5: 5}, things=[thing]))
    probe.testMulti(74, 255, 2**32, {0: "none"}, calls.Digit.FIVE, 240)
    probe.rest(
        calls.Rest(
            yes=True,
            no=False,
            short=-32768,
            answers=[True, False],
            deep={"x": [{1, 2}]},
            numbers=[1.5],
            nests=[calls.Nest(byte_thing=3, struct_thing=thing)],
            empty=[{}, {1: -1}],
            last=7,
        )
    )
    probe.headers()
    probe.who()


def exceptions(probe):
    recorder.group("exceptions")
    for which in ("Xception", "TException", "success"):
        probe.testException(which)
    for which in ("Xception", "Xception2", "success"):
        probe.testMultiException(which, "some text")
    probe.testVoid()


def oneway(probe):
    """Has no reply: whether it came is asked on the same connection until it has."""
    recorder.group("oneway")
    number = int.from_bytes(uuid.uuid4().bytes[:3], "big")
    for _ in range(3):
        probe.testOneway(number)
    end = time.monotonic() + 20
    while (heard := probe.heard(number)) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    recorder.CALLED.update(("testOneway", "heard"))
    recorder.step("testOneway, three times", heard)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dialect", required=True)
    args = parser.parse_args()
    probe = connect(args.port, args.dialect, calls.Probe)
    recorded = recorder.Recorder(probe)
    values(recorded)
    exceptions(recorded)
    oneway(probe)
    probe.close()
    recorder.group("multiplexed")
    for service in ("ThriftTest", "SecondService"):
        client = connect(args.port, args.dialect, getattr(calls, service), service)
        recorded = recorder.Recorder(client, f"{service}:")
        for text in ("one", "two"):
            if service == "ThriftTest":
                recorded.testString(text)
                recorded.testException("Xception")
            else:
                recorded.secondtestString(text)
        client.close()
    everything = {*calls.Probe.thrift_services, *calls.SecondService.thrift_services}
    if missing := everything - recorder.CALLED - {"wait", "die"}:
        sys.exit(f"never called: {sorted(missing)}")
    recorder.end()


main()
