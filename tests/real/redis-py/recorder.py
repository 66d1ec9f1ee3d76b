"""Writes down every call of a redis-py client with its reply, one JSON object per line.

`Recorder(client).get("a")` calls `client.get("a")` and records the reply or the error. Replies that
no two servers give alike are called through `.volatile` (only the type is recorded), replies in no
order through `.unordered` (recorded sorted).
"""

import datetime
import json
import sys
import types

CALLED = set()
"""Names of all methods of the client that were called."""

_state = {"group": "", "number": 0}


def group(name):
    """Starts a group of steps."""
    _state.update(group=name, number=0)


def step(call, reply, single=False):
    """Records one step. `single`: it needs a cluster with one server, and fails with several."""
    _state["number"] += 1
    line = {"step": f"{_state['group']}/{_state['number']}", "call": call, "reply": reply}
    if single:
        line["single"] = True
    sys.stdout.write(json.dumps(line, sort_keys=True) + "\n")


def plain(value):
    """A reply as JSON that keeps its type. Dictionaries keep the order of the reply."""
    if isinstance(value, bytes):
        return "b:" + value.decode("latin-1")
    if isinstance(value, Exception):
        return {"error": type(value).__name__, "text": str(value)}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {"dict": [[plain(k), plain(v)] for k, v in value.items()]}
    if isinstance(value, (set, frozenset)):
        return {"set": in_order([plain(v) for v in value])}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, types.GeneratorType) or hasattr(value, "__next__"):
        return {"scan": in_order([plain(v) for v in value])}
    if isinstance(value, datetime.datetime):
        return {"datetime": value.isoformat()}
    return {"object": type(value).__name__}


def in_order(values):
    return sorted(values, key=lambda v: json.dumps(v, sort_keys=True))


def kind(reply):
    """The type of a reply; of an error the code too."""
    if isinstance(reply, Exception):
        return {"error": type(reply).__name__, "code": str(reply).split(" ")[0]}
    return {"kind": type(reply).__name__}


def sorted_reply(reply):
    value = plain(reply)
    if isinstance(value, list):
        return in_order(value)
    if isinstance(value, dict) and "dict" in value:
        return {"dict": in_order(value["dict"])}
    return value


def result(call):
    """What a call returns or raises. Only the client library's errors are replies; a time-out is
    none, so that two servers that both stay silent are not found equal."""
    import redis

    try:
        return call()
    except redis.TimeoutError:
        raise
    except (redis.RedisError, NotImplementedError) as error:
        return error


class Recorder:
    """A client whose calls are recorded."""

    def __init__(self, client, form=plain, single=False):
        self._client = client
        self._form = form
        self._single = single

    @property
    def volatile(self):
        return Recorder(self._client, kind)

    @property
    def unordered(self):
        return Recorder(self._client, sorted_reply)

    @property
    def single(self):
        return Recorder(self._client, kind, single=True)

    @property
    def raw(self):
        """The client, for what is not a step."""
        return self._client

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def call(*args, **kwargs):
            CALLED.add(name)
            reply = result(lambda: method(*args, **kwargs))
            asked = [repr(a) for a in args] + [f"{k}={v!r}" for k, v in kwargs.items()]
            step(f"{name}({', '.join(asked)})", self._form(reply), self._single)
            return reply

        return call
