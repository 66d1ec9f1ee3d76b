"""The call `testUuid`, by hand: the library has the type, Debian's compiler (0.17) does not yet."""

from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.protocol.TBase import TBase

NAME = "testUuid"


class Arguments(TBase):
    __slots__ = ("thing",)
    thrift_spec = (None, (1, TType.UUID, "thing", None, None))

    def __init__(self, thing=None):
        self.thing = thing


class Result(TBase):
    __slots__ = ("success",)
    thrift_spec = ((0, TType.UUID, "success", None, None),)

    def __init__(self, success=None):
        self.success = success


def answer(_processor, number, iprot, oprot):
    """The server's side: an entry of a generated processor's map."""
    arguments = Arguments()
    arguments.read(iprot)
    iprot.readMessageEnd()
    oprot.writeMessageBegin(NAME, TMessageType.REPLY, number)
    Result(arguments.thing).write(oprot)
    oprot.writeMessageEnd()
    oprot.trans.flush()


def call(protocol, thing):
    """The client's side."""
    protocol.writeMessageBegin(NAME, TMessageType.CALL, 77)
    Arguments(thing).write(protocol)
    protocol.writeMessageEnd()
    protocol.trans.flush()
    _name, kind, number = protocol.readMessageBegin()
    if kind == TMessageType.EXCEPTION:
        error = TApplicationException()
        error.read(protocol)
        protocol.readMessageEnd()
        raise error
    result = Result()
    result.read(protocol)
    protocol.readMessageEnd()
    assert number == 77, f"the reply has id {number}"
    return result.success
