"""A Dubbo server of dubbo-py. The library listens on all addresses, asks a socket to a public
address for its own, and sends heartbeats once in a minute only: all three are changed from here,
nothing else is.

Usage: serve.py NAME [SECONDS BETWEEN HEARTBEATS]
"""

import json
import logging
import sys
import threading
import time
import types

import dubbo.server
import service

NAME = sys.argv[1]
PAUSE = float(sys.argv[2]) if len(sys.argv) > 2 else 60

_current = threading.local()
_answered = threading.Event()


class Decoder(dubbo.server.Decoder):
    """Remembers the request that a thread serves, for its attachments."""

    def decode(self):
        _current.request = super().decode()
        return _current.request


class Watch(logging.Handler):
    """Sees the library's remark on an answer to its heartbeat, which it keeps to itself."""

    def emit(self, record):
        if record.getMessage() == "skip heartbeat response message":
            _answered.set()


class Server(dubbo.server._DubboServer):
    request_queue_size = 128

    def __init__(self, address, handler):
        super().__init__(("127.0.0.1", address[1]), handler)

    def handle_error(self, request, client_address):
        """A client that breaks off is no news."""


logging.basicConfig(level=logging.DEBUG, handlers=[Watch()])
dubbo.server.get_pub_ip = lambda: "127.0.0.1"
dubbo.server.time = types.SimpleNamespace(sleep=lambda _: time.sleep(PAUSE), time=time.time)
dubbo.server.Decoder = Decoder
dubbo.server._DubboServer = Server

server = dubbo.server.DubboService(0, "heptad")
for interface in [service.INTERFACE, "com.heptad.Other"]:
    for name, method in service.methods(NAME, lambda: _current.request).items():
        server.add_method(interface, name, method)
    server.add_method(interface, "heartbeatAnswered", lambda *_: _answered.is_set())
server.start()
print(json.dumps({"port": server._server.server.server_address[1]}), flush=True)
while True:
    time.sleep(3600)
