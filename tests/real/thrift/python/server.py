"""Apache Thrift's threaded server, one port per dialect: prints the ports as JSON, then serves.

Every port serves `Probe` (with all of `ThriftTest`) to plain calls, and `ThriftTest`,
`SecondService` and `Probe` to multiplexed ones. It ends with its standard input, so that it cannot
outlive who started it.
"""

import argparse
import json
import logging
import os
import sys
import threading

import calls.Probe
import calls.SecondService
import calls.ThriftTest
import dialects
import handler
import uuids
from thrift.server.TServer import TThreadedServer
from thrift.Thrift import TProcessor
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.TSocket import TServerSocket


class Watched(TProcessor):
    """Remembers the protocols of a call, for what looks at headers."""

    def __init__(self, inner):
        self.inner = inner

    def process(self, iprot, oprot):
        handler.CURRENT.input, handler.CURRENT.output = iprot, oprot
        return self.inner.process(iprot, oprot)


def processor(handle, more):
    services = TMultiplexedProcessor()
    probe = calls.Probe.Processor(handle)
    probe._processMap[uuids.NAME] = uuids.answer
    services.registerDefault(probe)
    for name in ("Probe", *more):
        services.registerProcessor(name, probe)
    services.registerProcessor("ThriftTest", calls.ThriftTest.Processor(handle))
    services.registerProcessor("SecondService", calls.SecondService.Processor(handle))
    return Watched(services)


def listen(socket):
    """Listens now, so that the port is known and open before it is told."""
    socket.listen()
    socket.listen = lambda: None
    return socket.handle.getsockname()[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="server")
    parser.add_argument("--port", type=int, default=0, help="for the first dialect")
    parser.add_argument("--refuse", type=json.loads, default={}, help="texts by method")
    parser.add_argument("--service", action="append", default=[], help="another name of Probe")
    parser.add_argument("dialects", nargs="+")
    args = parser.parse_args()
    # The library shouts about every exception that a handler does not declare, as tests want it.
    logging.disable(logging.CRITICAL)
    serve = processor(handler.Handler(args.name, args.refuse), args.service)
    ports = {}
    for dialect in args.dialects:
        socket = TServerSocket("127.0.0.1", 0 if ports else args.port)
        # As many as connect at once.
        socket._backlog = 1024
        ports[dialect] = listen(socket)
        server = TThreadedServer(serve, socket, *dialects.factories(dialect), daemon=True)
        threading.Thread(target=server.serve, daemon=True).start()
    print(json.dumps(ports), flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


main()
