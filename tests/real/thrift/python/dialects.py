"""What a dialect is: a transport and a protocol by name, and Apache's classes for both sides.

A dialect's name is TRANSPORT-PROTOCOL with an optional `-zlib`, for instance `framed-compact` or
`header-binary-zlib`.
"""

from thrift.protocol.TBinaryProtocol import (
    TBinaryProtocolAcceleratedFactory,
    TBinaryProtocolFactory,
)
from thrift.protocol.TCompactProtocol import TCompactProtocolFactory
from thrift.protocol.THeaderProtocol import THeaderProtocolFactory
from thrift.protocol.TJSONProtocol import TJSONProtocolFactory
from thrift.transport.THeaderTransport import (
    THeaderClientType,
    THeaderSubprotocolID,
    THeaderTransport,
    THeaderTransformID,
)
from thrift.transport.TTransport import TBufferedTransportFactory, TFramedTransportFactory

PLAIN = {
    "binary": TBinaryProtocolFactory(),
    # No version word at the head of a message, as before there were versions.
    "old": TBinaryProtocolFactory(strictRead=False, strictWrite=False),
    # The same bytes, written and read by C code.
    "accelerated": TBinaryProtocolAcceleratedFactory(),
    "compact": TCompactProtocolFactory(),
    "json": TJSONProtocolFactory(),
}

HEADER = {"binary": THeaderSubprotocolID.BINARY, "compact": THeaderSubprotocolID.COMPACT}

# The number that other languages give to JSON inside of THeader. Python knows no name for it, but
# its transport carries any protocol.
HEADER_JSON = 1


class Factory:
    """Makes transports of a function, as Apache's servers want it."""

    def __init__(self, make):
        self.getTransport = make


def parts(dialect):
    """The transport's name, the protocol's and whether what is sent is compressed."""
    name = dialect.removesuffix("-zlib")
    transport, protocol = name.rsplit("-", 1)
    return transport, protocol, name != dialect


def factories(dialect):
    """The transport factory and the protocol factory of a dialect."""
    transport, protocol, zlib = parts(dialect)
    if transport in ("buffered", "framed"):
        outer = {"buffered": TBufferedTransportFactory, "framed": TFramedTransportFactory}
        return outer[transport](), PLAIN[protocol]
    below = {
        "header": lambda socket: socket,
        "framed-header": TFramedTransportFactory().getTransport,
    }[transport]
    number = HEADER.get(protocol, HEADER_JSON)

    def make(socket):
        header = THeaderTransport(below(socket), (THeaderClientType.HEADERS,), number)
        if zlib:
            header.add_transform(THeaderTransformID.ZLIB)
        return header

    if protocol == "json":
        return Factory(make), PLAIN["json"]
    return Factory(make), THeaderProtocolFactory(default_protocol=number)
