// The calls that both Node clients make, group by group. A client is an object with
// `call(method, args, { service, version, attachments })`, and `left(kind)` which says of what the
// two libraries cannot do together.
"use strict";

const java = require("js-to-java");
const { group, record, step } = require("./recorder");
const { date, typed, untyped } = require("./values");

const MANY = 50;
const TWO_MB = 2_000_000;

async function types(client) {
  const values = { ...typed(), ...client.untyped };
  for (const method of ["echo", "describe"]) {
    group(method);
    for (const [kind, value] of Object.entries(values)) {
      if (client.left(method, kind)) continue;
      await record(`${method} ${kind}`, client.call(method, [value()]));
    }
  }
  group("make");
  for (const kind of [...Object.keys(typed()), ...Object.keys(untyped())]) {
    if (client.left("make", kind)) continue;
    await record(`make ${kind}`, client.call("make", [java.String(kind)]));
  }
}

async function several(client) {
  group("several arguments");
  const texts = ["a", "你好", "c"].map(java.String);
  await record("echoAll of texts", client.call("echoAll", texts));
  if (!client.left("several arguments", "objects")) {
    const values = [java.List([1]), java.HashMap({ a: 1 }), date(new Date(0)), java.Integer(4)];
    await record("echoAll of objects", client.call("echoAll", values));
  }
  await record("name of nothing", client.call("name", []));
  await record("nothing", client.call("nothing", []));
}

async function attachments(client) {
  group("attachments");
  const sent = { user: "jason", "x-trace": "äöü 中", empty: "" };
  for (const name of ["user", "x-trace", "empty", "path", "version", "none"]) {
    const call = client.call("attachments", [java.String(name)], { attachments: sent });
    await record(`attachment ${name}`, call);
  }
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`key-${i}`, `value-${i}`]));
  const call = client.call("attachments", [java.String("key-199")], { attachments: many });
  await record("the last of 200", call);
}

async function errors(client) {
  group("errors");
  await record("fail", client.call("fail", [java.String("no luck, 运气")]));
  await record("declared", client.call("declared", [java.String("declared, 声明")]));
  if (!client.left("errors", "unknown")) {
    await record("no such method", client.call("nonsense", [java.String("x")]));
    const wrong = { service: "com.heptad.Nowhere" };
    await record("no such service", client.call("echo", [java.String("x")], wrong));
    await record("no such version", client.call("echo", [java.String("x")], { version: "9.9" }));
  }
  await record("and on", client.call("echo", [java.String("still here")]));
}

async function big(client) {
  group("2 MB");
  const parts = Array.from({ length: TWO_MB / 1000 }, () => "p".repeat(1000));
  await record("sent", client.call("size", [java.List(parts)]));
  await record("received", client.call("big", [java.String(`${TWO_MB}`)]));
  await record("both", client.call("echo", [java.List(parts)]));
}

async function many(client) {
  group("many in flight");
  const calls = Array.from({ length: MANY }, (_, i) => client.call("echo", [java.String(`no. ${i}`)]));
  await record(`${MANY} at once`, Promise.all(calls));
  if (client.left("many in flight", "out of order")) return;
  const order = [];
  const key = `${process.pid}`;
  const meet = (i) => client.call("meet", [java.String(`${key}:${MANY}:${i}`)]);
  await Promise.all(Array.from({ length: MANY }, async (_, i) => order.push([i, await meet(i)])));
  step("the last one first", order);
}

module.exports = [types, several, attachments, errors, big, many];
