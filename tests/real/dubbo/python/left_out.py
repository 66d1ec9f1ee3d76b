"""What two libraries cannot do together without anything in between, each with its reason."""

import re

FIVE = "dubbo-py does not read integers of five bytes"
SILENT = "dubbo-py never answers calls of what it has not got"
SIGN = "dubbo-py reads long integers as positive ones and writes them as others"
RANGE = "dubbo-py writes large doubles as if they were small"
SERIAL = "dubbo-py answers the calls of a connection one after the other"
LARGE = "(int|long) (262144|2147483647|4611686018427387904)"

STATUS = "it answers heartbeats with a status that this client takes for the end"

LEFT_OUT = [
    ("dubbo_py", "*", "echo", LARGE, FIVE),
    ("*", "py", "echo", LARGE, FIVE),
    ("*", "py", "describe", "int (262144|2147483647)", FIVE),
    ("dubbo_ssl", "py", "echo|describe", "int (-262145|262144|-?2147483648|2147483647)", FIVE),
    ("dubbo_ssl", "py", "echo", "int (2147483648|4611686018427387904|-9223372036854775808)", SIGN),
    ("dubbo_ssl", "py", "echo", "double 1e.300", RANGE),
    ("dubbo_ssl", "apache|py", "heartbeats", "", STATUS),
    ("*", "py", "errors", "unknown", SILENT),
    ("*", "py", "many", "out of order", SERIAL),
]


def left(client, server, group, kind):
    """Whether the step is to be left out between the two libraries."""
    for who, behind, where, what, _reason in LEFT_OUT:
        if who not in (client, "*") or not (behind == "*" or re.fullmatch(behind, server)):
            continue
        if re.fullmatch(where, group) and re.fullmatch(what, kind):
            return True
    return False
