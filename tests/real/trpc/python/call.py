"""Calls a tRPC server and records what was seen; with `--errors` what the router says.
Usage: call.py --port PORT [--errors]"""

import argparse
import json
import socket
import sys
import zlib

from wire import (
    CLOSE, DATA, FEEDBACK, INIT, UNARY, Close, FeedBack, Init, Reader, Request, Response, stream,
    unary,
)

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--errors", action="store_true")
OPTIONS = parser.parse_args()
CALLER, SERVICE = b"trpc.heptad.page.Page", "trpc.heptad.probe.Probe"


def request(number, method, service=SERVICE, **fields):
    func = f"/{service.removeprefix('trpc.')}/{method}".encode()
    return Request(request_id=number, caller=CALLER, callee=service.encode(), func=func, **fields)


class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", OPTIONS.port), timeout=20)
        self.reader = Reader(self.socket)

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def reply(self):
        kind, _, number, head, body = self.reader.frame()
        assert kind == UNARY, kind
        return number, Response.FromString(head), body

    def call(self, number, method, body=b"", unique=0, **fields):
        self.send(unary(request(number, method, **fields), body, unique))
        return self.reply()


def line(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")


STEPS = {"number": 0}


def step(call, reply):
    STEPS["number"] += 1
    line(step=f"trpc/{STEPS['number']}", call=call, reply=reply)


def seen(reply):
    number, head, body = reply
    shown = body.decode() if len(body) < 200 else f"{len(body)} {zlib.crc32(body)}"
    info = {name: value.hex() for name, value in sorted(head.trans_info.items())}
    facts = [number, head.request_id, head.ret, head.func_ret, head.error_msg.decode(), info, shown]
    return json.dumps(facts)


def published():
    """The frames of tRPC-Cpp's own example as its project shows them in a capture: all fields are
    shown, and the sizes that must come of them."""
    head = Request(request_id=6, timeout=1000, caller=b"trpc..")
    head.callee = b"trpc.test.helloworld.Greeter"
    head.func = b"/trpc.test.helloworld.Greeter/SayHello"
    frame = unary(head, b"\x0a\x05fiber")
    assert (len(frame), frame[8:10]) == (106, (83).to_bytes(2, "big")), frame.hex()
    reply = unary(Response(request_id=5), b"\x0a\x0cHello, fiber")
    assert (len(reply), reply[8:10]) == (32, (2).to_bytes(2, "big")), reply.hex()



def calls(client):
    for body in ["x", "grüße", "a" * 70000, ""]:
        step(f"echo {len(body)}", seen(client.call(1, "Echo", body.encode())))
    step("highest id", seen(client.call(2**32 - 1, "Echo", b"id")))
    step("unique id", seen(client.call(5, "Echo", b"unique", unique=77)))
    tags = {"user": b"jason", "trpc-dyeing-key": b"\x00\xff\x80", "empty": b""}
    step("headers", seen(client.call(3, "Echo", b"h", trans_info=tags)))
    every = {"timeout": 1500, "message_type": 1, "content_type": 2, "content_encoding": 0}
    step("all fields", seen(client.call(4, "Echo", b"{}", attachment_size=1, **every)))
    step("application's error", seen(client.call(6, "Fail")))
    step("no such method", seen(client.call(7, "Nothing")))
    client.send(unary(request(8, "Note", call_type=1), b"noted"))
    step("oneway", seen(client.call(9, "Notes")))
    numbers = range(100, 150)
    client.send(*(unary(request(n, "Later"), b"%d" % n) for n in numbers))
    client.send(unary(request(150, "Now"), b"now"))
    step("out of order", json.dumps(sorted(seen(client.reply()) for _ in range(51))))


def chat(client):
    frames = []
    for number, method in [(5, "Chat"), (6, "Broken")]:
        init = Init(init_window_size=65535)
        init.request_meta.caller, init.request_meta.callee = CALLER, SERVICE.encode()
        init.request_meta.func = f"/heptad.probe.Probe/{method}".encode()
        init.request_meta.trans_info["user"] = b"jason"
        frames.append(stream(INIT, number, init))
    client.send(*frames)
    talk = {5: [], 6: []}

    def hear(until):
        while True:
            _, kind, number, head, content = client.reader.frame()
            talk[number].append([kind, content.hex()])
            if (number, kind) in until:
                until.remove((number, kind))
            if not until:
                return

    hear([(5, INIT), (6, INIT)])
    client.send(stream(DATA, 5, b"hello"), stream(DATA, 6, b"boom"))
    hear([(5, FEEDBACK), (6, CLOSE)])
    client.send(stream(FEEDBACK, 5, FeedBack(window_size_increment=5)))
    client.send(stream(DATA, 5, b"again" * 20000))
    hear([(5, FEEDBACK)])
    client.send(stream(CLOSE, 5, Close()))
    hear([(5, CLOSE)])
    long = lambda text: text if len(text) < 200 else f"{len(text)} {zlib.crc32(text.encode())}"
    for number, said in talk.items():
        step(f"stream {number}", json.dumps([[kind, long(text)] for kind, text in said]))
    step("call behind streams", seen(client.call(10, "Echo", b"after")))


def errors(client):
    for number, name in enumerate(["Nowhere", "Told", "Dead", "Slow", "Patient"], 1):
        service = f"trpc.heptad.probe.{name}"
        fields = {"timeout": 300} if name == "Patient" else {}
        unique, head, _ = client.call(number, "Echo", b"x", unique=number, service=service, **fields)
        ids = (unique, head.request_id) == (number, number)
        line(name=name, ret=head.ret, text=head.error_msg.decode(), ids=ids)
    for number, name in enumerate(["Nowhere", "Dead"], 50):
        init = Init(init_window_size=65535)
        init.request_meta.callee = f"trpc.heptad.probe.{name}".encode()
        init.request_meta.func = f"/heptad.probe.{name}/Chat".encode()
        client.send(stream(INIT, number, init))
        _, kind, answered, _, content = client.reader.frame()
        close = Close.FromString(content)
        ids = (kind, answered) == (CLOSE, number)
        line(name=f"stream {name}", ret=close.ret, text=close.msg.decode(), ids=ids)
    init = Init(init_window_size=65535)
    init.request_meta.callee, init.request_meta.func = SERVICE.encode(), b"/heptad.probe.Probe/Tell"
    for name in ["user", "gone"]:
        init.request_meta.trans_info[name] = b"jason"
    client.send(stream(INIT, 60, init))
    opened = client.reader.frame()[1:3]
    _, kind, number, _, content = client.reader.frame()
    ids = opened == (INIT, 60) and (kind, number) == (DATA, 60)
    line(name="stream headers", ret=0, text=content.decode(), ids=ids)
    _, head, body = client.call(98, "Headers", trans_info={"user": b"jason", "gone": b"x"})
    line(name="headers", ret=head.ret, text=body.decode(), ids=head.request_id == 98)
    _, head, body = client.call(99, "Echo", b"still here")
    line(name="good", ret=head.ret, text=body.decode(), ids=head.request_id == 99)


if OPTIONS.errors:
    errors(Client())
else:
    published()
    connection = Client()
    calls(connection)
    chat(connection)
    line(end=STEPS["number"])
