"""A tRPC server. It prints its port. Methods: Echo, Fail, Headers, Later (answered behind the next
Now), Note (oneway) and Notes, and the streams Chat and Broken."""

import json
import socket
import threading

from wire import (
    CLOSE, DATA, FEEDBACK, INIT, UNARY, Close, FeedBack, Init, Reader, Request, Response, stream,
    unary,
)

NOTES = []


class Connection:
    def __init__(self, connection):
        self.socket, self.later, self.streams = connection, [], {}

    def run(self):
        reader = Reader(self.socket)
        while True:
            try:
                kind, streamed, number, head, rest = reader.frame()
            except (EOFError, OSError):
                return
            if kind == UNARY:
                self.call(number, Request.FromString(head), rest)
            else:
                self.streamed(streamed, number, rest)

    def reply(self, number, request, body=b"", **fields):
        head = Response(request_id=request.request_id, **fields)
        return unary(head, body, number)

    def call(self, number, request, body):
        method = request.func.decode().rpartition("/")[2]
        if request.call_type == 1:
            NOTES.append(body.decode())
            return
        if method == "Echo":
            out = self.reply(number, request, body, trans_info=dict(request.trans_info))
        elif method == "Fail":
            out = self.reply(number, request, func_ret=7, error_msg=b"a rule was broken")
        elif method == "Headers":
            shown = {name: value.decode() for name, value in sorted(request.trans_info.items())}
            out = self.reply(number, request, json.dumps(shown).encode())
        elif method == "Later":
            self.later.append(self.reply(number, request, body))
            return
        elif method == "Now":
            out = b"".join([self.reply(number, request, body), *reversed(self.later)])
            self.later = []
        elif method == "Notes":
            out = self.reply(number, request, json.dumps(NOTES).encode())
        else:
            out = self.reply(number, request, ret=12, error_msg=b"there is no " + method.encode())
        self.socket.sendall(out)

    def streamed(self, kind, number, content):
        if kind == INIT:
            init = Init.FromString(content)
            self.streams[number] = init.request_meta.func.decode().rpartition("/")[2]
            answer = Init(init_window_size=65535)
            answer.response_meta.SetInParent()
            out = stream(INIT, number, answer)
            if self.streams[number] == "Tell":
                info = sorted(init.request_meta.trans_info.items())
                shown = {name: value.decode() for name, value in info}
                out += stream(DATA, number, json.dumps(shown).encode())
        elif kind == DATA and self.streams.get(number) == "Broken":
            del self.streams[number]
            out = stream(CLOSE, number, Close(close_type=1, ret=31, msg=b"broken on purpose"))
        elif kind == DATA:
            out = stream(DATA, number, content.upper())
            out += stream(FEEDBACK, number, FeedBack(window_size_increment=len(content)))
        elif kind == CLOSE and number in self.streams:
            del self.streams[number]
            out = stream(CLOSE, number, Close())
        else:
            return
        self.socket.sendall(out)


listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
while True:
    accepted, _ = listener.accept()
    threading.Thread(target=Connection(accepted).run, daemon=True).start()
