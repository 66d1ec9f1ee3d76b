"""Writes down every call with its reply, one JSON object per line; the counterpart of
../node/recorder.js."""

import datetime
import json
import sys
import zlib

_state = {"group": "", "number": 0}


def group(name):
    """Starts a group of steps."""
    _state.update(group=name, number=0)


def step(call, reply):
    """Records one step; long replies by their length and a sum."""
    _state["number"] += 1
    form = plain(reply)
    text = json.dumps(form)
    if len(text) > 4000:
        form = f"{text[:40]}… ({len(text)}, {zlib.crc32(text.encode())})"
    line = {"step": f"{_state['group']}/{_state['number']}", "call": call, "reply": form}
    sys.stdout.write(json.dumps(line, sort_keys=True) + "\n")


def record(call, run, *errors):
    """Records what `run` returns or raises. Only the library's own errors are replies: silence is
    none, so that two servers that both stay silent are not found equal."""
    try:
        reply = run()
    except errors as error:
        reply = error
    step(call, reply)
    return reply


def end():
    """Says that the script came to its end."""
    sys.stdout.write('{"end": 1}\n')


def plain(value):
    """A reply as JSON that keeps its type and order."""
    if isinstance(value, Exception):
        return {"error": type(value).__name__, "text": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin-1")}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, dict):
        return {"dict": [[plain(k), plain(v)] for k, v in value.items()]}
    if hasattr(value, "_fields"):
        fields = [[name, plain(getattr(value, name))] for name in value._fields]
        return {"object": type(value).__name__, "fields": fields}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, datetime.datetime):
        return {"date": value.timestamp()}
    return {"type": type(value).__name__}
