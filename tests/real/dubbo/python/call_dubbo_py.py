"""Calls through dubbo-py's client and records what it saw. `--server` names the library behind."""

import argparse
import builtins
import time

import dubbo.client
from dubbo.codec.hessian2 import DubboRequest, new_object
from left_out import left
from recorder import end, group, record, step
from service import INTERFACE, MADE

MANY = 50
TWO_MB = 2_000_000


class Client(dubbo.client.DubboClient):
    """One connection; the reply's status is part of the record."""

    _timeout = 20

    def ask(self, method, args, service=INTERFACE, **more):
        reply = self.send_request_and_return_response(
            service_name=service, method_name=method, args=args, **more
        )
        return [reply.status, reply.data, reply.error]


# Those that the library writes in five bytes or more; it cannot read all of them.
LARGE = [262144, 2147483647]
LONGS = [0, 15, 16, -8, -9, 2047, 262143]

VALUES = {
    **{kind: value for kind, value in MADE.items() if not kind.startswith("object")},
    **{f"long {n}": builtins.long(n) for n in LONGS},
    **{f"long {n}": builtins.long(n) for n in LARGE + [2**62]},
    **{f"int {n}": n for n in LARGE},
    "object": new_object("com.heptad.User", id=7, name="user-7", tags=["a", "b"]),
    "object in an object": new_object(
        "com.heptad.Outer", inner=new_object("com.heptad.Inner", on=True), more=[1, 2]
    ),
    "list of 8": list("abcdefgh"),
}


def types(client, leave):
    for method in ["echo", "describe"]:
        group(method)
        for kind, value in VALUES.items():
            if not leave(method, kind):
                record(f"{method} {kind}", lambda: client.ask(method, [value]))
    group("make")
    for kind in MADE:
        if not leave("make", kind):
            record(f"make {kind}", lambda: client.ask("make", [kind]))


def several(client, leave):
    group("several arguments")
    values = ["a", 2, 3.5, True, None, "你好", [1]]
    record("echoAll", lambda: client.ask("echoAll", values))
    record("name of nothing", lambda: client.ask("name", []))
    record("nothing", lambda: client.ask("nothing", []))


def attachments(client, leave):
    group("attachments")
    sent = {"user": "jason", "x-trace": "äöü 中", "empty": ""}
    for name in ["user", "x-trace", "empty", "none"]:
        ask = lambda: client.ask("attachments", [name], attachment=sent)
        record(f"attachment {name}", ask)
    many = {f"key-{i}": f"value-{i}" for i in range(200)}
    ask = lambda: client.ask("attachments", ["key-199"], attachment=many)
    record("the last of 200", ask)
    generic = ["echo", ["java.lang.String"], ["through $invoke"]]
    ask = lambda: client.ask("$invoke", generic, attachment={"generic": "true"})
    record("$invoke", ask)


def errors(client, leave):
    group("errors")
    record("fail", lambda: client.ask("fail", ["no luck, 运气"]))
    record("declared", lambda: client.ask("declared", ["declared, 声明"]))
    if not leave("errors", "unknown"):
        record("no such method", lambda: client.ask("nonsense", ["x"]))
        record("no such service", lambda: client.ask("echo", ["x"], "com.heptad.Nowhere"))
        record("no such version", lambda: client.ask("echo", ["x"], service_version="9.9"))
    record("and on", lambda: client.ask("echo", ["still here"]))


def oneway(client, leave):
    group("oneway")
    # Some servers answer what wants no answer, and this client would take it for the next one's.
    sender = connect(client)
    for i in range(5):
        text = f"key-{i}=value-{i}"
        sender.send_request_without_response(
            service_name=INTERFACE, method_name="note", args=[text]
        )
    for i in range(5):
        late = time.monotonic() + 20
        while (reply := client.ask("noted", [f"key-{i}"]))[1] == "nothing yet":
            if time.monotonic() > late:
                raise SystemExit("a oneway request never came")
            time.sleep(0.005)
        step(f"noted {i}", reply)


def heartbeats(client, leave):
    group("heartbeats")
    for i in range(3):
        # The library asks for no answer.
        client.send_heartbeat_request(1000 + i)
        record("and on", lambda: client.ask("echo", ["still here"]))


def big(client, leave):
    group("2 MB")
    parts = ["p" * 10000] * (TWO_MB // 10000)
    record("sent", lambda: client.ask("size", [parts]))
    record("received", lambda: client.ask("big", [str(TWO_MB)]))
    record("both", lambda: client.ask("echo", [parts]))


def many(client, leave):
    group("many in flight")

    def send(number, method, text):
        request = DubboRequest(
            id=number,
            twoway=True,
            dubbo_version="2.5.3",
            service_name=INTERFACE,
            method_name=method,
            args=[text],
        )
        client._sock.sendall(request.encode())

    ids = [10**15 + 7 * i for i in range(MANY)]
    for i in ids:
        send(i, "echo", f"no. {i}")
    replies = [client._msg_queue.get(timeout=20) for _ in ids]
    step("all at once", sorted([r.id, r.status, r.data] for r in replies))
    if leave("many", "out of order"):
        return
    key = f"{ids[0]}-{id(client)}"
    for i, number in enumerate(ids):
        send(number, "meet", f"{key}:{MANY}:{i}")
    replies = [client._msg_queue.get(timeout=20) for _ in ids]
    step("the last one first", [[r.id, r.status, r.data] for r in replies])


GROUPS = [types, several, attachments, errors, oneway, heartbeats, big, many]


def connect(like=None):
    return Client("127.0.0.1", like._port if like else options.port)


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--server", required=True)
options = parser.parse_args()
for run in GROUPS:
    run(connect(), lambda *what: left("dubbo_py", options.server, *what))
end()
