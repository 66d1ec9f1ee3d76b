"""Drives redis-py through all its public calls and records what it saw, see recorder.py.

Ends with an error if there is a public method of redis.Redis that was neither called nor left out
for a reason that left_out.py gives.
"""

import argparse
import sys
import time

import data
import flows
import recorder
import redis
import server
from left_out import LEFT_OUT


class World:
    """What groups need beside the client under test."""

    def __init__(self, args):
        self.args = args
        self.sharded = args.sharded
        self.second = self.connect()
        ports = map(int, args.servers.split(","))
        self.eyes = [redis.Redis(port=port, socket_timeout=20) for port in ports]

    def connect(self, **more):
        options = {"port": self.args.port, "protocol": self.args.protocol, "socket_timeout": 40}
        return redis.Redis(**{**options, **more})

    def called(self, name):
        recorder.CALLED.add(name)

    def wait_until_blocked(self):
        """Asks the servers themselves, since only they know when a client waits."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if any(eye.info("clients")["blocked_clients"] for eye in self.eyes):
                return
            time.sleep(0.005)
        raise SystemExit("no client was ever blocked")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--servers", required=True, help="ports of the servers behind")
    parser.add_argument("--protocol", type=int, default=2)
    parser.add_argument("--sharded", action="store_true")
    args = parser.parse_args()
    world = World(args)
    client = recorder.Recorder(world.connect())
    key = (lambda name: "{t}" + name) if args.sharded else (lambda name: name)
    for run in data.GROUPS:
        run(client, key)
    for run in flows.GROUPS:
        run(client, key, world)
    if not args.sharded:
        for run in server.GROUPS:
            run(client, key, world)
        everything = {name for name in dir(redis.Redis) if callable(getattr(redis.Redis, name))}
        public = {name for name in everything if not name.startswith("_")}
        missing = public - recorder.CALLED - set(LEFT_OUT)
        if missing:
            sys.exit(f"neither called nor left out: {sorted(missing)}")
        if stale := set(LEFT_OUT) - public:
            sys.exit(f"left out, but there is no such method: {sorted(stale)}")
    print('{"end": 1}')


main()
