"""Public methods of redis.Redis that no group calls, each with its reason."""

HERE = "about the client object itself, sends nothing"
MODULE = "commands of a module that the server does not have"
SENTINEL = "spoken to a sentinel, not to a server"

LEFT_OUT = {
    "close": HERE,
    "from_pool": HERE,
    "from_url": HERE,
    "get_cache": HERE,
    "get_connection_kwargs": HERE,
    "get_encoder": HERE,
    "get_retry": HERE,
    "load_external_module": HERE,
    "set_retry": HERE,
    "set_response_callback": HERE,
    "parse_response": "takes a connection; every call uses it",
    **{name: MODULE for name in ["bf", "cf", "cms", "ft", "graph", "json", "tdigest", "topk", "ts"]},
    "sentinel": SENTINEL,
    **{
        "sentinel_" + name: SENTINEL
        for name in [
            "ckquorum", "failover", "flushconfig", "get_master_addr_by_name", "master", "masters",
            "monitor", "remove", "reset", "sentinels", "set", "slaves",
        ]
    },
    "debug_segfault": "kills the server; in the suite redis-cli-special",
    "shutdown": "stops the server; in the suite redis-cli-special",
    "sync": "turns the connection into a replica's; in the suite redis-cli-special",
    "psync": "turns the connection into a replica's; in the suite redis-cli-special",
}
