"""Calls through the client of dubbo-ssl-python, without TLS, and records what it saw. `--server`
names the library behind.

The library keeps one connection per address for the whole process, so all groups share it.
"""

import argparse
import logging
import threading
import time

from dubbo_ssl.client import DubboClient
from dubbo_ssl.codec.encoder import Object
from dubbo_ssl.common.exceptions import DubboRequestTimeoutException
from dubbo_ssl.connection import connections
from left_out import left
from recorder import end, group, record, step

MANY = 50
TWO_MB = 2_000_000
INTERFACE = "com.heptad.Probe"
INTS = [
    0, 1, -1, -16, -17, 47, 48, -2048, 2047, -2049, 2048, -262144, 262143, -262145, 262144,
    2147483647, -2147483648, 2147483648, 2**62, -(2**63),
]
DOUBLES = [0.0, 1.0, -1.0, 127.0, 128.0, -128.0, -32768.0, 32768.0, 0.001, 3.14159265358979, 1e300]


def java(path, /, **fields):
    return Object(path, fields)


VALUES = {
    "true": True,
    "false": False,
    **{f"int {n}": n for n in INTS},
    **{f"double {n}": n for n in DOUBLES},
    "string empty": "",
    "string latin": "Grüße, señor",
    "string chinese": "你好，世界",
    # Written as something else by the library, but alike each time.
    "string emoji": "a😀b",
    "string 31": "x" * 31,
    "string 32": "x" * 32,
    "string 1023": "ß" * 1023,
    "string 1024": "ß" * 1024,
    "string 32767": "y" * 32767,
    "list of strings": ["a", "b", "c"],
    "list of ints": list(range(1, 100)),
    "list of objects": [java("com.heptad.User", id=i, name=f"user-{i}") for i in range(5)],
    "object": java("com.heptad.User", id=7, name="user-7", tags=["a", "b"]),
    "object in an object": java("com.heptad.Outer", inner=java("com.heptad.Inner", on=True)),
}
MADE = [
    "null", "true", "false", "int 0", "int -16", "int 2047", "int 262143", "double 0", "double -1",
    "double 3.14159265358979", "string empty", "string chinese", "string 1024", "list empty",
    "list mixed", "list of 100", "map empty", "map", "object",
]


class Client:
    """Calls of one service at one address."""

    def __init__(self, service=INTERFACE, version="1.0"):
        host = f"127.0.0.1:{options.port}"
        self._client = DubboClient(service, "", version=version, host=host)

    def call(self, method, *args, **attachments):
        return self._client.call(method, list(args), context=attachments or None, timeout=20)


def see(call, run):
    """Records a call. Its text is the library's, without places in Java's code."""

    def asked():
        try:
            return run()
        except DubboRequestTimeoutException as error:
            raise SystemExit(f"{call}: {error}") from error

    return record(call, asked, Exception)


def types(client, leave):
    for method in ["echo", "describe"]:
        group(method)
        for kind, value in VALUES.items():
            if not leave(method, kind):
                see(f"{method} {kind}", lambda: client.call(method, value))
    group("make")
    for kind in MADE:
        if not leave("make", kind):
            see(f"make {kind}", lambda: client.call("make", kind))


def several(client, leave):
    group("several arguments")
    see("echoAll", lambda: client.call("echoAll", "a", "你好", java("com.heptad.Inner", on=True)))
    see("name of nothing", lambda: client.call("name"))
    see("nothing", lambda: client.call("nothing"))


def attachments(client, leave):
    group("attachments")
    sent = {"user": "jason", "trace": "äöü 中", "empty": ""}
    for name in ["user", "trace", "empty", "interface", "version", "none"]:
        see(f"attachment {name}", lambda: client.call("attachments", name, **sent))
    many = {f"key{i}": f"value-{i}" for i in range(200)}
    see("the last of 200", lambda: client.call("attachments", "key199", **many))


def errors(client, leave):
    group("errors")
    see("fail", lambda: client.call("fail", "no luck, 运气"))
    see("declared", lambda: client.call("declared", "declared, 声明"))
    if not leave("errors", "unknown"):
        see("no such method", lambda: client.call("nonsense", "x"))
        see("no such service", lambda: Client("com.heptad.Nowhere").call("echo", "x"))
        see("no such version", lambda: Client(version="9.9").call("echo", "x"))
    see("and on", lambda: client.call("echo", "still here"))


def heartbeats(client, leave):
    """The library's own heartbeats, sooner than after a minute; one is sent for each check of an
    idle connection, and the count of those unanswered goes back to zero."""
    if leave("heartbeats", ""):
        return
    group("heartbeats")
    host = f"127.0.0.1:{options.port}"
    pool = connections.connection_pool
    pool.client_heartbeats[host] = 0
    for _ in range(3):
        pool._connection_pool[host].last_active = 0
        wait(lambda: pool.client_heartbeats[host] > 0 or pool._connection_pool[host].last_active)
        wait(lambda: pool.client_heartbeats[host] == 0)
        see("and on", lambda: client.call("echo", "still here"))


def wait(until):
    late = time.monotonic() + 20
    while not until():
        if time.monotonic() > late:
            raise SystemExit("waited in vain")
        time.sleep(0.001)


def big(client, leave):
    group("2 MB")
    see("sent", lambda: client.call("size", ["p" * 10000] * (TWO_MB // 10000)))
    see("received", lambda: client.call("big", str(TWO_MB)))


def many(client, leave):
    group("many in flight")
    step("all at once", at_once(lambda i: client.call("echo", f"no. {i}")))
    if not leave("many", "out of order"):
        key = str(time.time())
        step("the last one first", at_once(lambda i: client.call("meet", f"{key}:{MANY}:{i}")))


def at_once(call):
    """What each of many threads got."""
    got = [None] * MANY

    def run(i):
        got[i] = call(i)

    threads = [threading.Thread(target=run, args=[i]) for i in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


GROUPS = [types, several, attachments, errors, heartbeats, big, many]

logging.disable(logging.CRITICAL)
parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--server", required=True)
options = parser.parse_args()
for run in GROUPS:
    run(Client(), lambda *what: left("dubbo_ssl", options.server, *what))
end()
