"""Calls through both clients of anthunder, and records what they saw; with `--errors` what the
router says. Usage: call.py --port PORT [--server NAME] [--errors]"""

import argparse
import json
import logging
import sys
import threading
import zlib

import anthunder
from anthunder import AioClient, Client
from anthunder.exceptions import PyboltError
from mytracer import SpanContext

logging.disable(logging.CRITICAL)
parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--server", default="")
parser.add_argument("--errors", action="store_true")
OPTIONS = parser.parse_args()
SERVICE = "com.heptad.Probe:1.0"
state = {"group": "", "number": 0}


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def message(text):
    value = text.encode()
    return b"\x0a" + varint(len(value)) + value


def step(call, reply):
    state["number"] += 1
    if isinstance(reply, bytes):
        reply = reply.hex() if len(reply) < 200 else f"{len(reply)} {zlib.crc32(reply)}"
    line = {"step": f"{state['group']}/{state['number']}", "call": call, "reply": reply}
    sys.stdout.write(json.dumps(line) + "\n")


def call(client, method, text, service=SERVICE, **headers):
    if service not in anthunder.SERVICE_MAP:
        anthunder.SERVICE_MAP[service] = ("127.0.0.1", OPTIONS.port)
    context = SpanContext()
    return client.invoke_sync(
        service, method, message(text), spanctx=context, timeout_ms=15000, **headers
    )


def calls(client, many):
    for text in ["x", "grüße", "a" * 70000, " "]:
        step(f"echo {len(text)}", call(client, "echo", text))
    step("name", call(client, "name", "x"))
    step("with headers", call(client, "echo", "tagged", tag="gray"))
    if many:
        replies = {}

        def one(number):
            replies[number] = call(client, "echo", f"n{number}").hex()

        threads = [threading.Thread(target=one, args=(n,)) for n in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        step("30 at once", [replies[n] for n in range(30)])


def errors(client):
    for service in ["Nowhere", "Told", "Dead", "Slow"]:
        try:
            said = call(client, "sleep", "3000", service=f"com.heptad.{service}:1.0", to=service)
        except PyboltError as error:
            said = str(error)
        line = {"name": service, "error": said if isinstance(said, str) else said.hex()}
        sys.stdout.write(json.dumps(line) + "\n")


if OPTIONS.errors:
    errors(Client("errors"))
else:
    state["group"] = "client"
    calls(Client("calls"), many=False)
    state.update(group="aio", number=0)
    calls(AioClient("calls"), many=True)
    sys.stdout.write('{"end": 1}\n')
