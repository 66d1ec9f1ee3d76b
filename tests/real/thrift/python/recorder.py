"""Writes down every call with its reply, one JSON object per line.

`Recorder(client).testI32(1)` calls `client.testI32(1)` and records what came back: a value or an
exception that the server answered with. What the library itself raises, because the connection broke
or the bytes made no sense, ends the script.

Works with Apache's library and with thriftpy2, of which it imports nothing.
"""

import json
import sys
import uuid

OF_THE_LIBRARY = {"TTransportException", "TProtocolException", "TDecodeException"}

CALLED = set()
"""Names of all methods that were called."""

_state = {"group": "", "number": 0}


def group(name):
    """Starts a group of steps."""
    _state.update(group=name, number=0)


def step(call, reply):
    """Records one step."""
    _state["number"] += 1
    line = {"step": f"{_state['group']}/{_state['number']}", "call": call, "reply": reply}
    sys.stdout.write(json.dumps(line, sort_keys=True) + "\n")


def end():
    """The mark without which a record does not count."""
    print('{"end": 1}')


def plain(value):
    """A reply as JSON that keeps its type."""
    if isinstance(value, bytes):
        return "b:" + value.decode("latin-1")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return {type(value).__name__: str(value)} if type(value) is not int else value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {"map": in_order([[plain(k), plain(v)] for k, v in value.items()])}
    if isinstance(value, (set, frozenset)):
        return {"set": in_order([plain(v) for v in value])}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, uuid.UUID):
        return {"uuid": str(value)}
    if type(value).__name__ == "TApplicationException":
        return {"application": value.type, "text": value.message}
    fields = sorted(vars(value).items())
    return {"object": type(value).__name__, "fields": [[k, plain(v)] for k, v in fields]}


def is_answer(error):
    """Whether an exception is what the server answered."""
    names = {base.__name__ for base in type(error).__mro__}
    return "TException" in names and not names & OF_THE_LIBRARY


def in_order(values):
    return sorted(values, key=lambda v: json.dumps(v, sort_keys=True))


def brief(value):
    """An argument as text; the middle of a long one is left out."""
    text = json.dumps(plain(value), sort_keys=True)
    return text if len(text) < 500 else f"{text[:200]}…{len(text)}…{text[-200:]}"


class Recorder:
    """A client whose calls are recorded."""

    def __init__(self, client, label=""):
        self._client = client
        self._label = label

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def call(*args):
            CALLED.add(name)
            try:
                reply = method(*args)
            except Exception as error:
                if not is_answer(error):
                    raise
                reply = error
            step(f"{self._label}{name}({', '.join(map(brief, args))})", plain(reply))
            return reply

        return call
