"""What takes more than one call or more than one client: pipelines, transactions, blocking calls,
publish and subscribe, several databases, locks."""

import threading

from recorder import Recorder, group, plain, result, step


def pipelines(r, k, world):
    group("pipelines")
    pipe = r.raw.pipeline(transaction=False)
    for i in range(300):
        pipe.set(k(f"p{i}"), i).get(k(f"p{i}"))
    pipe.lpush(k("p0"), "wrong type").get(k("p299"))
    step("600 commands and an error", plain(result(lambda: pipe.execute(raise_on_error=False))))
    # Keys of all shards in one pipeline: replies in the order of requests.
    pipe = r.raw.pipeline(transaction=False)
    for i in range(200):
        pipe.set(f"plain{i}", i)
    for i in reversed(range(200)):
        pipe.get(f"plain{i}")
    step("400 on plain keys", plain(result(pipe.execute)))
    r.pipeline()


def transactions(r, k, world):
    group("transactions")
    pipe = r.raw.pipeline()
    pipe.set(k("ta"), 1).incr(k("ta")).lpush(k("ta"), 1).get(k("ta"))
    step("MULTI with an error inside", plain(result(lambda: pipe.execute(raise_on_error=False))))
    pipe = r.raw.pipeline()
    pipe.set(k("ta"), 1).execute_command("NOSUCH").incr(k("ta"))
    step("MULTI that is aborted", plain(result(pipe.execute)))
    pipe = r.raw.pipeline()
    pipe.watch(k("ta"))
    seen = pipe.get(k("ta"))
    world.second.set(k("ta"), "changed")
    pipe.multi()
    pipe.set(k("ta"), "mine")
    step(f"WATCH, changed by another, saw {seen!r}", plain(result(pipe.execute)))
    pipe = r.raw.pipeline()
    pipe.watch(k("ta"), k("tb"))
    pipe.unwatch()
    world.second.set(k("ta"), 5)
    pipe.multi()
    pipe.incr(k("ta"))
    step("WATCH, UNWATCH", plain(result(pipe.execute)))
    pipe = r.raw.pipeline()
    pipe.watch(k("ta"))
    pipe.multi()
    pipe.get(k("ta"))
    pipe.discard() if hasattr(pipe, "discard") else pipe.reset()
    step("given up", plain(result(pipe.execute)))
    r.watch(k("ta"))
    r.unwatch()

    def double(pipe):
        value = int(pipe.get(k("ta")))
        pipe.multi()
        pipe.set(k("ta"), 2 * value)

    r.raw.transaction(double, k("ta"))
    step("transaction()", plain(r.raw.get(k("ta"))))
    world.called("transaction")


def blocking(r, k, world):
    """A second client pushes once the servers say that the first is blocked."""
    group("blocking")
    zset = {"m": 1}
    calls = [
        ("blpop", lambda c: c.blpop([k("q"), k("q2")], 30), lambda w: w.rpush(k("q"), "a")),
        ("brpop", lambda c: c.brpop([k("q")], 30), lambda w: w.rpush(k("q"), "b")),
        ("brpoplpush", lambda c: c.brpoplpush(k("q"), k("q3"), 30), lambda w: w.rpush(k("q"), "c")),
        ("blmove", lambda c: c.blmove(k("q"), k("q3"), 30), lambda w: w.rpush(k("q"), "d")),
        (
            "blmpop",
            lambda c: c.blmpop(30, 1, k("q"), direction="LEFT"),
            lambda w: w.rpush(k("q"), "e"),
        ),
        ("bzpopmin", lambda c: c.bzpopmin([k("zq")], 30), lambda w: w.zadd(k("zq"), zset)),
        ("bzpopmax", lambda c: c.bzpopmax([k("zq")], 30), lambda w: w.zadd(k("zq"), zset)),
        ("bzmpop", lambda c: c.bzmpop(30, 1, [k("zq")], min=True), lambda w: w.zadd(k("zq"), zset)),
        (
            "xread",
            lambda c: c.xread({k("xq"): "$"}, block=30000),
            lambda w: w.xadd(k("xq"), {"f": "v"}, id="7-7"),
        ),
    ]
    for name, call, push in calls:
        got = {}

        def wait():
            got["reply"] = result(lambda: call(r.raw))

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        world.wait_until_blocked()
        push(world.second)
        thread.join(20)
        step(f"{name}, then a push", plain(got.get("reply", "still blocked")))
        world.called(name)
    r.blpop([k("none")], 0.05)
    r.bzpopmin([k("none")], 0.05)


def publish_subscribe(r, k, world):
    group("publish and subscribe")
    hub = r.raw.pubsub()
    r.pubsub()
    hub.subscribe("news", "weather")
    heard(hub, 2)
    r.publish("news", "first")
    r.publish("nobody", "listens")
    heard(hub, 1)
    hub.psubscribe("wea*")
    heard(hub, 1)
    world.second.publish("weather", b"\x00binary\xff")
    heard(hub, 2)
    hub.ping("are you there")
    heard(hub, 1)
    r.unordered.pubsub_channels()
    r.unordered.pubsub_numsub("news", "nobody")
    r.pubsub_numpat()
    hub.unsubscribe("news")
    heard(hub, 1)
    hub.punsubscribe()
    hub.unsubscribe()
    heard(hub, 2)
    hub.ssubscribe("shard")
    heard(hub, 1)
    r.spublish("shard", "sharded")
    heard(hub, 1)
    r.pubsub_shardchannels()
    r.single.pubsub_shardnumsub("shard")
    hub.sunsubscribe("shard")
    heard(hub, 1)
    hub.close()
    # Many messages in a row keep their order.
    hub = r.raw.pubsub()
    hub.subscribe("flood")
    heard(hub, 1)
    pipe = world.second.pipeline(transaction=False)
    for i in range(500):
        pipe.publish("flood", i)
    pipe.execute()
    flood = [result(lambda: hub.get_message(timeout=20)) for _ in range(500)]
    step("500 messages", plain(flood))
    hub.close()


def heard(hub, count):
    for _ in range(count):
        step("message", plain(result(lambda: hub.get_message(timeout=20))))


def databases(r, k, world):
    group("databases")
    if world.sharded:
        return
    three = Recorder(world.connect(db=3))
    three.set("db3", "three")
    three.get("db3")
    r.get("db3")
    three.select(4)
    three.swapdb(3, 4)
    three.get("db3")
    three.select(0)
    three.select(99)
    r.swapdb(0, 99)


def locks(r, k, world):
    group("locks")
    r.lock(k("lock"))
    with r.raw.lock(k("lock"), timeout=10) as lock:
        other = world.second.lock(k("lock"), timeout=10, blocking=False)
        step("owned, taken", [lock.owned(), other.acquire()])
    step("given back", other.acquire())
    other.release()


def many_clients(r, k, world):
    """Threads that share a pool, so that replies could go to the wrong one."""
    group("many clients")
    wrong = []

    def work(who):
        for i in range(100):
            value = f"{who}-{i}".encode()
            r.raw.set(f"thread:{who}:{i}", value)
            if r.raw.get(f"thread:{who}:{i}") != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    step("16 threads", plain(wrong))


def merged(r, k, world):
    """Keys without a tag: with several servers these are split and merged."""
    group("merged")
    r.flushall()
    r.dbsize()
    names = [f"plain:{i}" for i in range(50)]
    r.mset({name: i for i, name in enumerate(names)})
    r.mget(names + ["none"])
    r.exists(*names, "none")
    r.touch(*names, "none")
    r.dbsize()
    r.unordered.keys("plain:*")
    r.scan_iter(match="plain:*", count=7)
    r.delete(*names[:10], "none")
    r.unlink(*names[10:20], "none")
    r.dbsize()
    r.script_exists(r.script_load("return 1"))
    r.flushdb()
    r.dbsize()


GROUPS = [
    pipelines, transactions, blocking, publish_subscribe, databases, locks, many_clients, merged,
]
