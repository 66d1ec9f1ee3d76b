"""Calls that the router answers itself, and whether the connection can be used after each.

What is expected is in `crates/xtask/src/real/thrift/errors.rs`.
"""

import argparse
import time

import calls.Probe
import recorder
from connection import Connection


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dialect", required=True)
    args = parser.parse_args()
    connection = Connection(args.port, args.dialect)
    here = recorder.Recorder(connection.client)
    dead = recorder.Recorder(connection.service(calls.Probe, "Dead"), "Dead:")
    cases = {
        "no route": here.testVoid,
        "no route, oneway": lambda: here.testOneway(1),
        "told": lambda: here.testByte(1),
        "refused": lambda: dead.testI32(1),
        "refused again": lambda: dead.testI32(2),
        "refused, oneway": lambda: dead.testOneway(1),
        "time-out": lambda: here.wait("too late", 600),
        "died": here.die,
        "gone": here.die,
    }
    for name, case in cases.items():
        recorder.group(name)
        case()
        # The next reply is that of the next call.
        here.testString(f"after: {name}")
        if name == "died":
            # Its listener is the last to go.
            time.sleep(0.3)
    recorder.group("another connection")
    another = Connection(args.port, args.dialect)
    recorder.Recorder(another.client).testString("after all")
    recorder.end()


main()
