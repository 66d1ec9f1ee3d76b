"""A Bolt server of anthunder, which knows version 1 and protobuf. Usage: serve.py NAME"""

import json
import logging
import socket
import sys
import time

from anthunder.listener.aio_listener import AioListener

logging.disable(logging.CRITICAL)
NAME = sys.argv[1]


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def text(message):
    """The one field of the message, a text."""
    if not message:
        return b""
    at, length, shift = 1, 0, 0
    while True:
        byte = message[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return message[at : at + length]


def answer(value):
    return b"\x0a" + varint(len(value)) + value


class Probe:
    """The methods that the callers know."""

    def __init__(self, context):
        self.context = context

    def echo(self, message):
        return answer(text(message))

    def name(self, message):
        return answer(NAME.encode())

    def sleep(self, message):
        time.sleep(int(text(message)) / 1000)
        return answer(b"awake")


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

listener = AioListener(("127.0.0.1", port), "probe", reuse_address=True)
listener.handler.register_interface("com.heptad.Probe:1.0", Probe)
listener.run_threading()
while True:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        time.sleep(0.02)
sys.stdout.write(json.dumps({"port": port}) + "\n")
sys.stdout.flush()
time.sleep(3600)
