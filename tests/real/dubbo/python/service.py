"""The service that dubbo-py's server offers: what ../node/service.js offers too, as far as its
library can: it answers the calls of one connection one after the other."""

import json
import os
import time

from dubbo.codec.hessian2 import new_object
from dubbo.errors import DubboError

from recorder import plain

INTERFACE = "com.heptad.Probe"

INTS = [0, 1, -1, -16, 47, 48, -2048, 2047, -2049, 2048, -262144, 262143]
DOUBLES = [0.0, 1.0, -1.0, 127.0, -128.0, 3.14159265358979]


def user(number):
    return new_object("com.heptad.User", id=number, name=f"user-{number}", tags=["a", "b"])


MADE = {
    "null": None,
    "true": True,
    "false": False,
    **{f"int {n}": n for n in INTS},
    **{f"double {n:.15g}": n for n in DOUBLES},
    "string empty": "",
    "string ascii": "plain",
    "string latin": "Grüße, señor",
    "string chinese": "你好，世界",
    "string 31": "x" * 31,
    "string 32": "x" * 32,
    "string 1023": "ß" * 1023,
    "string 1024": "ß" * 1024,
    "string 32767": "y" * 32767,
    "list empty": [],
    "list mixed": [1, "two", None, True, 4.5, [5]],
    "list of 100": list(range(100)),
    "map empty": {},
    "map": {"a": 1, "b": "two", "c": [3], "d": {"e": None}},
    "object": user(7),
}

_noted = {}


def fail(text):
    raise RuntimeError(text)


def declared(text):
    raise DubboError(70, text)


def sleep(ms):
    time.sleep(ms / 1000)
    return ms


def note(text):
    key, value = text.split("=")
    _noted[key] = value
    return "noted"


def methods(name, request):
    """The methods by name. `name` tells servers apart; `request` gives the request being served."""
    return {
        "name": lambda *_: name,
        "who": lambda *_: name,
        "die": lambda *_: os._exit(1),
        "echo": lambda value: value,
        "echoAll": lambda *values: list(values),
        "make": lambda kind: MADE[kind],
        "describe": lambda value: json.dumps(plain(value)),
        "big": lambda size: ["b" * 1000] * (int(size) // 1000),
        "size": lambda parts: str(sum(len(part) for part in parts)),
        "nothing": lambda *_: None,
        "fail": fail,
        "declared": declared,
        "sleep": sleep,
        "note": note,
        "noted": lambda key: _noted.get(key, "nothing yet"),
        "attachments": lambda key: str(request().attachment.get(key, "none")),
    }
