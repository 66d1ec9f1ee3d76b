"""Makes the calls that come as JSON on lines of standard input, with one client that stays
connected, and prints what came of each: {"value": …} or {"error": …}.

Usage: ask.py dubbo_py|dubbo_ssl PORT
"""

import json
import logging
import sys

from recorder import plain

INTERFACE = "com.heptad.Probe"


def dubbo_py(port):
    """Calls through dubbo-py."""
    from dubbo.client import DubboClient

    client = DubboClient("127.0.0.1", port)
    client._timeout = 20

    def call(method, args, service=INTERFACE, version="1.0", attachments={}):
        reply = client.send_request_and_return_response(
            service_name=service,
            service_version=version,
            method_name=method,
            args=args,
            attachment=attachments,
        )
        if not reply.ok:
            raise RuntimeError(reply.error)
        return reply.data

    return call


def dubbo_ssl(port):
    """Calls through dubbo-ssl-python, which has one connection for all services."""
    from dubbo_ssl.client import DubboClient

    def call(method, args, service=INTERFACE, version="1.0", attachments={}):
        client = DubboClient(service, "", version=version, host=f"127.0.0.1:{port}")
        return client.call(method, args, context=attachments, timeout=20)

    return call


logging.disable(logging.CRITICAL)
call = {"dubbo_py": dubbo_py, "dubbo_ssl": dubbo_ssl}[sys.argv[1]](int(sys.argv[2]))
for line in sys.stdin:
    try:
        reply = {"value": plain(call(**json.loads(line)))}
    except Exception as error:
        reply = {"error": str(error) or type(error).__name__}
    print(json.dumps(reply), flush=True)
