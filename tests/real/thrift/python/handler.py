"""What the server does in each call.

The calls of `ThriftTest` do what every language's server of Apache's own test does; those of
`Probe` tell which server it was and what it saw.
"""

import collections
import os
import threading
import time

from calls.ttypes import Digit, Insanity, Plain, Rich, Thing
from thrift.Thrift import TApplicationException, TException

CURRENT = threading.local()
"""The protocols of the call that this thread is in, `CURRENT.input` and `CURRENT.output`."""


def echo(_self, thing):
    return thing


class Handler:
    """One server. `refusals`: texts by method, which are raised instead of an answer."""

    def __init__(self, name, refusals):
        self.name = name
        self.refusals = refusals
        self.numbers = collections.Counter()

    def __getattribute__(self, method):
        if text := object.__getattribute__(self, "refusals").get(method):

            def refuse(*_args):
                raise TApplicationException(TApplicationException.INTERNAL_ERROR, text)

            return refuse
        return object.__getattribute__(self, method)

    def testVoid(self):
        pass

    testString = testBool = testByte = testI32 = testI64 = testDouble = testBinary = echo
    testStruct = testNest = testMap = testStringMap = testSet = testList = echo
    testEnum = testTypedef = rest = echo

    def testMapMap(self, _hello):
        near = range(1, 5)
        return {-4: {-n: -n for n in near}, 4: {n: n for n in near}}

    def testInsanity(self, argument):
        twice = {Digit.TWO: argument, Digit.THREE: argument}
        return {1: twice, 2: {Digit.SIX: Insanity()}}

    def testMulti(self, first, second, third, _fourth, _fifth, _sixth):
        return Thing("Hello2", first, second, third)

    def testException(self, which):
        if which == "Xception":
            raise Plain(1001, which)
        if which == "TException":
            raise TException("not declared")

    def testMultiException(self, which, text):
        if which == "Xception":
            raise Plain(1001, "This is an Xception")
        if which == "Xception2":
            raise Rich(2002, Thing("This is an Xception2"))
        return Thing(text)

    def testOneway(self, number):
        self.numbers[number] += 1

    def secondtestString(self, thing):
        return f'testString("{thing}")'

    def who(self):
        return self.name

    def heard(self, number):
        return self.numbers[number]

    def wait(self, text, milliseconds):
        time.sleep(milliseconds / 1000)
        return text

    def die(self):
        os._exit(0)

    def headers(self):
        """Transports without headers have none."""
        reader, writer = CURRENT.input.trans, CURRENT.output.trans
        if not hasattr(reader, "get_headers"):
            return {}
        seen = dict(reader.get_headers())
        for name, value in seen.items():
            writer.set_header(b"back-" + name, value)
        writer.set_header(b"server", self.name.encode())
        return {name.decode(): value.decode() for name, value in seen.items()}
