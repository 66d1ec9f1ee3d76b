"""tRPC's frames. Heads are written and read by Google's protobuf, from the field numbers that
trpc.proto publishes; nothing of the router's own is in here."""

import struct

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIXED = struct.Struct(">HBBIHIBB")  # magic, type, stream type, size, head size, id, version, reserved
MAGIC = 0x0930
UNARY, STREAM = 0, 1
INIT, DATA, FEEDBACK, CLOSE = 1, 2, 3, 4

FIELD = descriptor_pb2.FieldDescriptorProto
KINDS = {"uint32": FIELD.TYPE_UINT32, "int32": FIELD.TYPE_INT32, "bytes": FIELD.TYPE_BYTES}
MESSAGES = {
    "Request": [
        ("version", 1, "uint32"), ("call_type", 2, "uint32"), ("request_id", 3, "uint32"),
        ("timeout", 4, "uint32"), ("caller", 5, "bytes"), ("callee", 6, "bytes"),
        ("func", 7, "bytes"), ("message_type", 8, "uint32"), ("trans_info", 9, "map"),
        ("content_type", 10, "uint32"), ("content_encoding", 11, "uint32"),
        ("attachment_size", 12, "uint32"),
    ],
    "Response": [
        ("version", 1, "uint32"), ("call_type", 2, "uint32"), ("request_id", 3, "uint32"),
        ("ret", 4, "int32"), ("func_ret", 5, "int32"), ("error_msg", 6, "bytes"),
        ("message_type", 7, "uint32"), ("trans_info", 8, "map"), ("content_type", 9, "uint32"),
        ("content_encoding", 10, "uint32"), ("attachment_size", 12, "uint32"),
    ],
    "InitRequest": [
        ("caller", 1, "bytes"), ("callee", 2, "bytes"), ("func", 3, "bytes"),
        ("message_type", 4, "uint32"), ("trans_info", 5, "map"),
    ],
    "InitResponse": [("ret", 1, "int32"), ("error_msg", 2, "bytes")],
    "Init": [
        ("request_meta", 1, "InitRequest"), ("response_meta", 2, "InitResponse"),
        ("init_window_size", 3, "uint32"), ("content_type", 4, "uint32"),
        ("content_encoding", 5, "uint32"),
    ],
    "FeedBack": [("window_size_increment", 1, "uint32")],
    "Close": [
        ("close_type", 1, "int32"), ("ret", 2, "int32"), ("msg", 3, "bytes"),
        ("message_type", 4, "uint32"), ("trans_info", 5, "map"), ("func_ret", 6, "int32"),
    ],
}


def classes():
    file = descriptor_pb2.FileDescriptorProto(name="trpc", package="trpc", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            made = message.field.add(name=field, number=number, label=FIELD.LABEL_OPTIONAL)
            if kind == "map":
                made.label, made.type = FIELD.LABEL_REPEATED, FIELD.TYPE_MESSAGE
                made.type_name = f".trpc.{name}.TransInfoEntry"
                entry = message.nested_type.add(name="TransInfoEntry")
                entry.options.map_entry = True
                for part, at, of in [("key", 1, FIELD.TYPE_STRING), ("value", 2, FIELD.TYPE_BYTES)]:
                    entry.field.add(name=part, number=at, label=FIELD.LABEL_OPTIONAL, type=of)
            elif kind in KINDS:
                made.type = KINDS[kind]
            else:
                made.type, made.type_name = FIELD.TYPE_MESSAGE, f".trpc.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"trpc.{name}")) for name in MESSAGES}


CLASSES = classes()
Request, Response, Init = CLASSES["Request"], CLASSES["Response"], CLASSES["Init"]
FeedBack, Close = CLASSES["FeedBack"], CLASSES["Close"]


def unary(head, body=b"", unique=0):
    head = head.SerializeToString(deterministic=True)
    size = FIXED.size + len(head) + len(body)
    return FIXED.pack(MAGIC, UNARY, 0, size, len(head), unique, 0, 0) + head + body


def stream(kind, number, content=b""):
    if not isinstance(content, bytes):
        content = content.SerializeToString(deterministic=True)
    size = FIXED.size + len(content)
    return FIXED.pack(MAGIC, STREAM, kind, size, 0, number, 0, 0) + content


class Reader:
    """Whole frames of a socket: type, stream type, id of the fixed head, head, the rest."""

    def __init__(self, socket):
        self.socket, self.bytes = socket, b""

    def exactly(self, size):
        while len(self.bytes) < size:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.bytes += more
        taken, self.bytes = self.bytes[:size], self.bytes[size:]
        return taken

    def frame(self):
        magic, kind, streamed, size, head, number, version, reserved = FIXED.unpack(
            self.exactly(FIXED.size)
        )
        if (magic, version, reserved) != (MAGIC, 0, 0):
            raise ValueError(f"a fixed head with {magic:#x}, {version}, {reserved}")
        head = self.exactly(head)
        return kind, streamed, number, head, self.exactly(size - FIXED.size - len(head))
