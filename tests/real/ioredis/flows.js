// What takes more than one call or more than one client.
"use strict";

const { called, group, recorder, result, step } = require("./recorder");

async function pipelines(r, k, world) {
  group("pipelines");
  const pipe = r.raw.pipeline();
  for (let i = 0; i < 300; i++) pipe.set(k(`p${i}`), i).get(k(`p${i}`));
  pipe.lpush(k("p0"), "wrong type").get(k("p299"));
  step("600 commands and an error", await pipe.exec());
  const plain = r.raw.pipeline();
  for (let i = 0; i < 200; i++) plain.set(`plain${i}`, i);
  for (let i = 199; i >= 0; i--) plain.get(`plain${i}`);
  step("400 on plain keys", await plain.exec());
  called.add("pipeline");
  // Calls of one turn travel together.
  const auto = world.connect({ enableAutoPipelining: true });
  const asked = [];
  for (let i = 0; i < 100; i++) asked.push(auto.set(`auto${i}`, i), auto.get(`auto${i}`));
  asked.push(result(auto.lpush("auto0", 1)));
  step("auto-pipelined", await Promise.all(asked));
  auto.disconnect();
  // Without waiting for any reply.
  const many = [];
  for (let i = 0; i < 500; i++) many.push(r.raw.incr(k("many")));
  step("500 at once", await Promise.all(many));
}

async function transactions(r, k, world) {
  group("transactions");
  step(
    "MULTI in one go",
    await r.raw.multi().set(k("ta"), 1).incr(k("ta")).lpush(k("ta"), 1).get(k("ta")).exec(),
  );
  step("MULTI aborted", await result(r.raw.multi().set(k("ta"), 1).call("NOSUCH").exec()));
  await r.multi({ pipeline: false });
  await r.set(k("ta"), 2);
  await r.get(k("ta"));
  await r.exec();
  await r.multi({ pipeline: false });
  await r.set(k("ta"), 3);
  await r.discard();
  await r.exec();
  await r.watch(k("ta"));
  await world.second.set(k("ta"), "changed");
  step("WATCH, changed by another", await r.raw.multi().set(k("ta"), "mine").exec());
  await r.watch(k("ta"));
  await r.unwatch();
  await world.second.set(k("ta"), "changed");
  step("WATCH, UNWATCH", await r.raw.multi().get(k("ta")).exec());
}

// A second client pushes once the servers say that the first is blocked.
async function blocking(r, k, world) {
  group("blocking");
  const cases = [
    ["blpop", [k("q"), k("q2"), 30], (w) => w.rpush(k("q"), "a")],
    ["brpop", [k("q"), 30], (w) => w.rpush(k("q"), "b")],
    ["brpoplpush", [k("q"), k("q3"), 30], (w) => w.rpush(k("q"), "c")],
    ["blmove", [k("q"), k("q3"), "LEFT", "LEFT", 30], (w) => w.rpush(k("q"), "d")],
    ["blmpop", [30, 1, k("q"), "LEFT"], (w) => w.rpush(k("q"), "e")],
    ["bzpopmin", [k("zq"), 30], (w) => w.zadd(k("zq"), 1, "m")],
    ["bzpopmax", [k("zq"), 30], (w) => w.zadd(k("zq"), 1, "m")],
    ["bzmpop", [30, 1, k("zq"), "MIN"], (w) => w.zadd(k("zq"), 1, "m")],
    ["xread", ["BLOCK", 30000, "STREAMS", k("xq"), "$"], (w) => w.xadd(k("xq"), "7-7", "f", "v")],
  ];
  const waiter = world.connect();
  for (const [name, args, push] of cases) {
    called.add(name);
    const reply = result(waiter[name](...args));
    // Behind the blocked call on the same connection: answered after it.
    const behind = waiter.ping();
    await world.untilBlocked();
    await push(world.second);
    step(`${name}, then a push`, await reply);
    step("behind it", await behind);
  }
  await r.blpop(k("none"), 0.05);
  waiter.disconnect();
}

async function publishSubscribe(r, k, world) {
  group("publish and subscribe");
  const hub = world.connect();
  const messages = inbox(hub);
  step("subscribe", await hub.subscribe("news", "weather"));
  await r.publish("news", "first");
  await messages(1);
  step("psubscribe", await hub.psubscribe("wea*"));
  await r.publish("weather", "second");
  await messages(2);
  step("get while subscribed", await result(hub.call("GET", "x").catch((e) => String(e.message))));
  await r.unordered.pubsub("CHANNELS");
  await r.pubsub("NUMSUB", "news");
  step("unsubscribe", await hub.unsubscribe("news"));
  step("punsubscribe", await hub.punsubscribe("wea*"));
  step("unsubscribe", await hub.unsubscribe());
  step("get afterwards", await hub.get("x"));
  step("ssubscribe", await hub.ssubscribe("shard"));
  await r.spublish("shard", "sharded");
  await messages(1);
  step("sunsubscribe", await hub.sunsubscribe("shard"));
  for (const name of ["subscribe", "psubscribe", "ssubscribe"]) {
    called.add(name).add(name.replace("sub", "unsub"));
  }
  called.add("unsubscribe").add("punsubscribe").add("sunsubscribe");
  await hub.subscribe("flood");
  for (let i = 0; i < 500; i++) world.second.publish("flood", i);
  await messages(500);
  hub.disconnect();
}

// Collects messages of all kinds; the function returned waits for a number of them.
function inbox(hub) {
  const got = [];
  let wake = () => {};
  const add = (kind) => (...parts) => {
    got.push([kind, ...parts]);
    wake();
  };
  for (const kind of ["message", "pmessage", "smessage"]) hub.on(kind, add(kind));
  return async (count) => {
    const late = Date.now() + 20000;
    while (got.length < count && Date.now() < late) {
      await new Promise((done) => {
        wake = done;
        setTimeout(done, 100);
      });
    }
    // Of one message, those for a pattern and for a channel may come in either order.
    step(`${count} messages`, count > 2 ? got.splice(0) : got.splice(0).sort());
  };
}

async function scanStreams(r, k, world) {
  group("scan streams");
  const plain = world.second;
  for (let i = 0; i < 300; i++) {
    plain.set(k(`scan:${i}`), i);
    plain.sadd(k("scanned:set"), i, `m${i}`);
    plain.hset(k("scanned:hash"), `f${i}`, i);
    plain.zadd(k("scanned:zset"), i, `z${i}`);
  }
  await plain.ping();
  const all = async (stream) => {
    const seen = [];
    for await (const part of stream) seen.push(...part);
    return [...new Set(seen)].sort();
  };
  step("scanStream", await all(r.raw.scanStream({ match: k("scan:*"), count: 20 })));
  step("sscanStream", await all(r.raw.sscanStream(k("scanned:set"))));
  step("hscanStream", await all(r.raw.hscanStream(k("scanned:hash"))));
  step("zscanStream", await all(r.raw.zscanStream(k("scanned:zset"))));
  for (const name of ["scan", "sscan", "hscan", "zscan"]) {
    called.add(`${name}Stream`).add(`${name}BufferStream`);
  }
}

async function merged(r, k, world) {
  group("merged");
  await r.flushall();
  const names = Array.from({ length: 50 }, (_, i) => `plain:${i}`);
  await r.mset(...names.flatMap((name, i) => [name, i]));
  await r.mget(...names, "none");
  await r.exists(...names, "none");
  await r.touch(...names, "none");
  await r.dbsize();
  await r.unordered.keys("plain:*");
  await r.del(...names.slice(0, 10), "none");
  await r.unlink(...names.slice(10, 20), "none");
  await r.dbsize();
  await r.flushdb();
  await r.dbsize();
}

async function databases(r, k, world) {
  group("databases");
  if (world.sharded) return;
  const three = recorder(world.connect({ db: 3 }));
  await three.set("db3", "three");
  await r.get("db3");
  await three.select(4);
  await three.swapdb(3, 4);
  await three.get("db3");
  await three.select(99);
  three.raw.disconnect();
}

module.exports = [
  pipelines, transactions, blocking, publishSubscribe, scanStreams, merged, databases,
];
