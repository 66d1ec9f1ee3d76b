"""A client's connection in a dialect, as the scripts beside this file use it."""

import calls.Probe
import dialects
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.transport.TSocket import TSocket

PATIENCE = 20_000
"""Milliseconds after which a reply that must come has not come."""


class Connection:
    """`client` speaks to the default service, `service(...)` to others on the same connection."""

    def __init__(self, port, dialect):
        socket = TSocket("127.0.0.1", port)
        socket.setTimeout(PATIENCE)
        transports, protocols = dialects.factories(dialect)
        self.transport = transports.getTransport(socket)
        self.protocol = protocols.getProtocol(self.transport)
        # THeader's protocol may have put a transport of its own in between.
        self.transport = self.protocol.trans
        self.transport.open()
        self.client = calls.Probe.Client(self.protocol)

    def service(self, module, name):
        return module.Client(TMultiplexedProtocol(self.protocol, name))

    def close(self):
        self.transport.close()
