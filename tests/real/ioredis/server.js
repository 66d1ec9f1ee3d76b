// Commands about connections and the server.
"use strict";

const { called, group, recorder, step } = require("./recorder");

async function connection(r, k, world) {
  group("connection");
  await r.ping();
  await r.ping("words");
  await r.echo("words");
  await r.auth("wrong");
  const one = recorder(world.connect({ connectionName: "me" }));
  await one.client("GETNAME");
  await one.client("SETNAME", "not allowed");
  await one.volatile.client("ID");
  await one.client("INFO");
  await one.client("NO-EVICT", "ON");
  await one.client("TRACKINGINFO");
  await one.client("REPLY", "ON");
  await one.client("UNBLOCK", 999999);
  await one.client("KILL", "127.0.0.1:1");
  await one.select(1);
  await one.set("in one", 1);
  await one.select(0);
  await one.get("in one");
  await one.readonly();
  await one.readwrite();
  await one.asking();
  await one.hello(9);
  await one.reset();
  await one.client("GETNAME");
  await one.quit();
  await r.call("GET", "none");
  called.add("sendCommand").add("send_command");
}

async function server(r, k, world) {
  group("server");
  await r.flushall();
  await r.dbsize();
  await r.volatile.time();
  await r.volatile.lastsave();
  await r.volatile.info();
  await r.volatile.info("server");
  await r.role();
  await r.config("GET", "maxmemory-policy");
  await r.config("SET", "nosuch", 1);
  await r.command("COUNT");
  await r.command("GETKEYS", "MSET", "a", 1, "b", 2);
  await r.slowlog("RESET");
  await r.slowlog("LEN");
  await r.latency("LATEST");
  await r.memory("PURGE");
  await r.module("LIST");
  await r.acl("WHOAMI");
  await r.cluster("INFO");
  await r.volatile.bgsave();
  await r.volatile.bgrewriteaof();
  await r.lolwut("VERSION", 99);
  await r.replicaof("NO", "ONE");
  await r.slaveof("NO", "ONE");
  await r.failover();
  await r.pubsub("NUMPAT");
  await r.call("NOSUCH", "with", "arguments");
}

async function monitor(r, k, world) {
  group("monitor");
  const eye = await world.connect().monitor();
  const seen = new Promise((done) => {
    eye.on("monitor", (time, args) => {
      if (args.includes("watched")) done(args);
    });
  });
  await world.second.set("watched", "1");
  step("monitor", await seen);
  called.add("monitor");
  eye.disconnect();
}

// What the library knows and the server does not: its error must come through, unknown to the
// router or not.
async function newer(r, k, world) {
  group("newer");
  const known = new Set((await r.raw.command()).map(([name]) => name));
  for (const name of r.raw.getBuiltinCommands().filter((n) => !known.has(n)).sort()) {
    if (typeof r.raw[name] === "function") await r[name](k("new"), "a");
  }
}

module.exports = [connection, server, monitor, newer];
