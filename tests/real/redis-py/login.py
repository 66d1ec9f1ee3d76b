"""Logs in with redis-py in every way it knows and records what it saw, see recorder.py."""

import argparse

import redis
from recorder import Recorder, group

WAYS = [
    ("nobody", {}),
    ("password", {"password": "default-secret"}),
    ("default", {"username": "default", "password": "default-secret"}),
    ("alice", {"username": "alice", "password": "alice-secret"}),
    ("wrong password", {"username": "alice", "password": "default-secret"}),
    ("wrong user", {"username": "bob", "password": "alice-secret"}),
    ("password of the servers", {"password": "upstream-secret"}),
    (
        "provider",
        {"credential_provider": redis.UsernamePasswordCredentialProvider("alice", "alice-secret")},
    ),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--servers")
    parser.add_argument("--protocol", type=int, default=2)
    args = parser.parse_args()
    for name, how in WAYS:
        group(name)
        client = redis.Redis(
            port=args.port,
            protocol=args.protocol,
            socket_timeout=20,
            # The names that the library gives itself are refused to strangers by newer servers
            # and by Heptad, and unknown to older ones.
            lib_name=None,
            lib_version=None,
            **how,
        )
        r = Recorder(client)
        r.ping()
        r.acl_whoami()
        r.set("who", name)
        r.get("who")
        r.delete("who")
        r.auth("alice-secret", "alice")
        r.get("who")
        client.close()
    print('{"end": 1}')


main()
