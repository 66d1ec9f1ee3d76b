// Commands on keys of every type. `k` puts the hash tag before a key's name when there are shards.
"use strict";

const { group } = require("./recorder");

async function strings(r, k) {
  group("strings");
  await r.set(k("a"), "hello");
  await r.get(k("a"));
  await r.getBuffer(k("a"));
  await r.append(k("a"), " there");
  await r.strlen(k("a"));
  await r.getrange(k("a"), 0, 4);
  await r.substr(k("a"), 0, 4);
  await r.setrange(k("a"), 0, "J");
  await r.getset(k("a"), "new");
  await r.getex(k("a"), "EX", 1000);
  await r.set(k("a"), "x", "NX");
  await r.set(k("a"), "x", "XX", "GET");
  await r.set(k("a"), Buffer.from([0, 255, 13, 10, 36]));
  await r.getBuffer(k("a"));
  await r.setnx(k("b"), 1);
  await r.setex(k("c"), 100, "c");
  await r.psetex(k("d"), 100000, "d");
  await r.mset(k("e"), 1, k("f"), 2);
  await r.msetnx({ [k("e")]: 1, [k("g")]: 2 });
  await r.mget(k("e"), k("none"), k("f"));
  await r.incr(k("n"));
  await r.incrby(k("n"), 5);
  await r.incrbyfloat(k("n"), 0.5);
  await r.set(k("m"), 10);
  await r.decr(k("m"));
  await r.decrby(k("m"), 3);
  await r.incr(k("c"));
  await r.getdel(k("c"));
  await r.set(k("x"), "ohmytext");
  await r.set(k("y"), "mynewtext");
  await r.lcs(k("x"), k("y"), "IDX", "WITHMATCHLEN");
  await r.setbit(k("bits"), 7, 1);
  await r.getbit(k("bits"), 7);
  await r.bitcount(k("bits"));
  await r.bitpos(k("bits"), 1);
  await r.bitop("NOT", k("bits2"), k("bits"));
  await r.bitfield(k("bf"), "INCRBY", "u2", 100, 1, "OVERFLOW", "FAIL", "INCRBY", "u2", 102, 9);
  await r.bitfield_ro(k("bf"), "GET", "u8", 0);
  await r.pfadd(k("hll"), "a", "b", "c");
  await r.pfadd(k("hll2"), "c", "d");
  await r.pfcount(k("hll"), k("hll2"));
  await r.pfmerge(k("hll3"), k("hll"), k("hll2"));
  await r.pfdebug("ENCODING", k("hll3"));
  await r.single.pfselftest();
  await r.set(k("big"), "v".repeat(300000));
  await r.get(k("big"));
}

async function keys(r, k) {
  group("keys");
  await r.set(k("ka"), 1);
  await r.exists(k("ka"), k("none"));
  await r.type(k("ka"));
  await r.expire(k("ka"), 1000);
  await r.expireat(k("ka"), 33177117420);
  await r.expiretime(k("ka"));
  await r.pexpire(k("ka"), 1000000);
  await r.pexpireat(k("ka"), 33177117420000);
  await r.pexpiretime(k("ka"));
  await r.persist(k("ka"));
  await r.ttl(k("ka"));
  await r.pttl(k("none"));
  await r.object("ENCODING", k("ka"));
  await r.volatile.memory("USAGE", k("ka"));
  await r.single.debug("OBJECT", k("ka"));
  await r.rename(k("ka"), k("kb"));
  await r.renamenx(k("kb"), k("kc"));
  await r.rename(k("none"), k("kd"));
  await r.copy(k("kc"), k("kd"));
  const dumped = await r.dumpBuffer(k("kc"));
  await r.dump(k("none"));
  await r.restore(k("ke"), 0, dumped);
  await r.restore(k("ke"), 0, dumped);
  await r["restore-asking"](k("kf"), 0, "nonsense");
  await r.touch(k("kc"), k("none"));
  await r.rpush(k("klist"), 3, 1, 2);
  await r.sort(k("klist"), "DESC");
  await r.sort_ro(k("klist"), "ALPHA");
  await r.move(k("kd"), 1);
  await r.unlink(k("kc"), k("none"));
  await r.del(k("klist"), k("none"));
  await r.unordered.keys(k("k*"));
  await r.volatile.scan(0);
  await r.volatile.randomkey();
  await r.migrate("127.0.0.1", 1, "", 0, 10, "KEYS", k("none"));
  await r.wait(0, 0);
}

async function hashes(r, k) {
  group("hashes");
  await r.hset(k("h"), "f", "v");
  await r.hset(k("h"), { n: 1, g: "w" });
  await r.hmset(k("h"), { i: "j" });
  await r.hsetnx(k("h"), "f", "no");
  await r.hget(k("h"), "f");
  await r.hmget(k("h"), "f", "none");
  await r.hgetall(k("h"));
  await r.hgetallBuffer(k("h"));
  await r.hkeys(k("h"));
  await r.hvals(k("h"));
  await r.hlen(k("h"));
  await r.hexists(k("h"), "f");
  await r.hstrlen(k("h"), "f");
  await r.hincrby(k("h"), "n", 4);
  await r.hincrbyfloat(k("h"), "n", 0.25);
  await r.hdel(k("h"), "i", "none");
  await r.hscan(k("h"), 0);
  await r.hset(k("h1"), "only", "one");
  await r.hrandfield(k("h1"), 2, "WITHVALUES");
}

async function lists(r, k) {
  group("lists");
  await r.rpush(k("l"), "a", "b", "c", "d");
  await r.lpush(k("l"), "z");
  await r.lpushx(k("l"), "y");
  await r.rpushx(k("none"), "y");
  await r.llen(k("l"));
  await r.lrange(k("l"), 0, -1);
  await r.lindex(k("l"), 1);
  await r.lset(k("l"), 99, "Z");
  await r.linsert(k("l"), "BEFORE", "a", "0");
  await r.lpos(k("l"), "a", "COUNT", 0);
  await r.lrem(k("l"), 1, "0");
  await r.ltrim(k("l"), 0, 4);
  await r.lpop(k("l"));
  await r.rpop(k("l"), 2);
  await r.lmove(k("l"), k("l2"), "LEFT", "RIGHT");
  await r.rpoplpush(k("l"), k("l2"));
  await r.lmpop(2, k("none"), k("l2"), "LEFT", "COUNT", 5);
  await r.lpush(k("h"), "wrong type");
}

async function sets(r, k) {
  group("sets");
  await r.sadd(k("s"), 1, 2, 3);
  await r.sadd(k("t"), 2, 3, 4);
  await r.scard(k("s"));
  await r.sismember(k("s"), 1);
  await r.smismember(k("s"), 1, 9);
  await r.unordered.smembers(k("s"));
  await r.unordered.sinter(k("s"), k("t"));
  await r.sintercard(2, k("s"), k("t"));
  await r.sinterstore(k("u"), k("s"), k("t"));
  await r.unordered.sunion(k("s"), k("t"));
  await r.sunionstore(k("u"), k("s"), k("t"));
  await r.unordered.sdiff(k("s"), k("t"));
  await r.sdiffstore(k("u"), k("s"), k("t"));
  await r.smove(k("s"), k("t"), 1);
  await r.srem(k("t"), 4, 99);
  await r.sscan(k("t"), 0);
  await r.sadd(k("one"), "x");
  await r.srandmember(k("one"));
  await r.spop(k("one"));
}

async function sortedSets(r, k) {
  group("sorted sets");
  await r.zadd(k("z"), 1, "a", 2, "b", 3, "c");
  await r.zadd(k("z"), "GT", "CH", 5, "a");
  await r.zadd(k("y"), 1, "a", "+inf", "q");
  await r.zcard(k("z"));
  await r.zcount(k("z"), "-inf", 4);
  await r.zlexcount(k("z"), "-", "+");
  await r.zscore(k("z"), "a");
  await r.zmscore(k("z"), "a", "none");
  await r.zincrby(k("z"), 0.25, "a");
  await r.zrank(k("z"), "a");
  await r.zrevrank(k("z"), "a");
  await r.zrange(k("z"), 0, -1, "WITHSCORES");
  await r.zrevrange(k("z"), 0, -1);
  await r.zrangebyscore(k("z"), 0, 9);
  await r.zrevrangebyscore(k("z"), 9, 0);
  await r.zrangebylex(k("z"), "-", "+");
  await r.zrevrangebylex(k("z"), "+", "-");
  await r.zrangestore(k("zs"), k("z"), 0, 1);
  await r.zinter(2, k("z"), k("y"), "WITHSCORES");
  await r.zintercard(2, k("z"), k("y"));
  await r.zinterstore(k("zi"), 2, k("z"), k("y"));
  await r.zunion(2, k("z"), k("y"), "WITHSCORES");
  await r.zunionstore(k("zu"), 2, k("z"), k("y"), "AGGREGATE", "MAX");
  await r.zdiff(2, k("z"), k("y"), "WITHSCORES");
  await r.zdiffstore(k("zd"), 2, k("z"), k("y"));
  await r.zscan(k("z"), 0);
  await r.zadd(k("z1"), 1, "m");
  await r.zrandmember(k("z1"), 1, "WITHSCORES");
  await r.zpopmin(k("zu"));
  await r.zpopmax(k("zu"), 2);
  await r.zmpop(2, k("none"), k("zi"), "MIN");
  await r.zadd(k("zr"), 1, "a", 2, "b", 3, "c", 4, "d");
  await r.zrem(k("zr"), "a", "none");
  await r.zremrangebylex(k("zr"), "[b", "[b");
  await r.zremrangebyrank(k("zr"), 0, 0);
  await r.zremrangebyscore(k("zr"), 4, 4);
}

async function geo(r, k) {
  group("geo");
  await r.geoadd(k("g"), 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania");
  await r.geodist(k("g"), "Palermo", "Catania", "km");
  await r.geohash(k("g"), "Palermo", "none");
  await r.geopos(k("g"), "Palermo", "none");
  await r.georadius(k("g"), 15, 37, 200, "km", "ASC");
  await r.georadius_ro(k("g"), 15, 37, 200, "km", "ASC");
  await r.georadiusbymember(k("g"), "Palermo", 200, "km", "ASC");
  await r.georadiusbymember_ro(k("g"), "Palermo", 200, "km", "ASC");
  await r.geosearch(k("g"), "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "ASC", "WITHDIST");
  await r.geosearchstore(k("g2"), k("g"), "FROMMEMBER", "Palermo", "BYRADIUS", 200, "km");
}

async function streams(r, k) {
  group("streams");
  await r.xadd(k("x"), "1-1", "f", "v");
  await r.xadd(k("x"), "1-2", "f", "v2");
  await r.xadd(k("x"), "1-1", "f", "late");
  await r.volatile.xadd(k("auto"), "*", "f", "v");
  await r.xlen(k("x"));
  await r.xrange(k("x"), "-", "+");
  await r.xrevrange(k("x"), "+", "-", "COUNT", 1);
  await r.xread("COUNT", 1, "STREAMS", k("x"), 0);
  await r.xread("BLOCK", 20, "STREAMS", k("x"), "$");
  await r.xgroup("CREATE", k("x"), "g", 0);
  await r.xgroup("CREATE", k("x"), "g", 0);
  await r.xreadgroup("GROUP", "g", "alice", "STREAMS", k("x"), ">");
  await r.xpending(k("x"), "g");
  await r.xack(k("x"), "g", "1-1");
  await r.xclaim(k("x"), "g", "bob", 0, "1-2", "JUSTID");
  await r.xautoclaim(k("x"), "g", "carol", 0, 0, "JUSTID");
  await r.volatile.xinfo("STREAM", k("x"));
  await r.xinfo("GROUPS", k("x"));
  await r.xdel(k("x"), "1-1");
  await r.xtrim(k("x"), "MAXLEN", 1);
  await r.xsetid(k("x"), "9-9");
  await r.xgroup("DESTROY", k("x"), "g");
}

async function scripts(r, k) {
  group("scripts");
  await r.eval("return {KEYS[1], ARGV[1], redis.call('SET', KEYS[1], ARGV[1])}", 1, k("e"), "v");
  await r.eval_ro("return redis.call('SET', KEYS[1], 1)", 1, k("e"));
  const sha = await r.script("LOAD", "return redis.call('GET', KEYS[1])");
  await r.evalsha(sha, 1, k("e"));
  await r.evalsha_ro(sha, 1, k("e"));
  await r.evalsha("f".repeat(40), 1, k("e"));
  await r.script("EXISTS", sha);
  r.raw.defineCommand("addto", {
    numberOfKeys: 1,
    lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
  });
  await r.addto(k("counter"), 7);
  await r.script("FLUSH");
  // The library falls back from EVALSHA to EVAL.
  await r.addto(k("counter"), 7);
  const library = `#!lua name=iolib
    redis.register_function('put', function(k, a) return redis.call('SET', k[1], a[1]) end)
    redis.register_function{function_name='look', flags={'no-writes'},
      callback=function(k, a) return redis.call('GET', k[1]) end}`;
  await r.function("LOAD", library);
  await r.fcall("put", 1, k("fn"), "val");
  await r.fcall_ro("look", 1, k("fn"));
  await r.fcall_ro("put", 1, k("fn"), "val");
  await r.function("DELETE", "iolib");
}

module.exports = [strings, keys, hashes, lists, sets, sortedSets, geo, streams, scripts];
