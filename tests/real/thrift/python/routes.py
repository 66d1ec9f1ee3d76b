"""Calls for each rule of config/routes.yaml, and who answered.

Both servers refuse calls with their names. Without `--router` every call goes to the server that it
should be led to, and is what the router should make of it.
"""

import argparse

import calls.Probe
import calls.SecondService
import calls.ThriftTest
import recorder
from calls.ttypes import Nest
from connection import Connection

ROUNDS = 5


class Sides:
    """The same connection twice, if there is a router."""

    def __init__(self, args):
        self.router = args.router
        self.headers = "header" in args.dialect
        self.alpha = Connection(args.alpha, args.dialect)
        self.beta = self.alpha if args.router else Connection(args.beta, args.dialect)


def plain(sides):
    recorder.group("plain")
    alpha, beta = (recorder.Recorder(side.client) for side in (sides.alpha, sides.beta))
    for _ in range(ROUNDS):
        alpha.who()
        alpha.testI32(1)
        beta.testVoid()
        alpha.testString("silver")
        beta.testString("gold")
        alpha.testMulti(1, 41, 3, {}, 5, 6)
        beta.testMulti(1, 42, 3, {7: "seven"}, 5, 6)
        # The argument is not the first that is called so, but the field with its number.
        alpha.wait("gold", 1)


def services(sides):
    recorder.group("services")
    first = recorder.Recorder(sides.alpha.service(calls.ThriftTest, "ThriftTest"), "ThriftTest:")
    void = recorder.Recorder(sides.beta.service(calls.ThriftTest, "ThriftTest"), "ThriftTest:")
    second = recorder.Recorder(sides.beta.service(calls.SecondService, "SecondService"), "Second:")
    elsewhere = sides.beta.client
    if sides.router:
        elsewhere = sides.beta.service(calls.Probe, "Elsewhere.v2")
    elsewhere = recorder.Recorder(elsewhere, "Elsewhere.v2:")
    for _ in range(ROUNDS):
        first.testI32(1)
        void.testVoid()
        second.secondtestString("x")
        elsewhere.who()
        elsewhere.testNest(Nest(1, None, 2))


def headers(sides):
    """The router adds and removes headers of calls that it leads by one."""
    recorder.group("headers")
    for tenant in (b"silver", b"gold", b"silver"):
        gold = tenant == b"gold"
        side = sides.beta if gold else sides.alpha
        edits = gold and not sides.router
        side.transport.set_header(b"tenant", tenant)
        if edits:
            side.transport.set_header(b"added", b"by-route")
        else:
            side.transport.set_header(b"secret", b"s3cret")
        side.transport.set_header(b"kept", b"\x01 as it is \xc3\xbc")
        reply = side.client.headers()
        recorder.step(f"headers of a call of {tenant}", recorder.plain(reply))
        got = dict(side.transport.get_headers())
        if edits:
            got[b"marked"] = b"by-route"
        recorder.step(f"headers of the reply to {tenant}", recorder.plain(got))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", type=int, required=True)
    parser.add_argument("--beta", type=int, required=True)
    parser.add_argument("--port", type=int, help="where the caller would connect")
    parser.add_argument("--dialect", required=True)
    parser.add_argument("--router", action="store_true")
    sides = Sides(parser.parse_args())
    plain(sides)
    services(sides)
    if sides.headers:
        headers(sides)
    recorder.end()


main()
