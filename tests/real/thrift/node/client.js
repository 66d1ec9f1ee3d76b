// Drives Apache Thrift's Node client through every method of `ThriftTest` in one dialect, then 50
// calls at a time on one connection. Ends with an error if there is a method that it did not call.
"use strict";

const path = require("path");
const Int64 = require("node-int64");
const { connect, options, thrift } = require("./connection");
const { called, end, group, plain, recorder, result, step } = require("./recorder");

const generated = process.env.GENERATED;
const Probe = require(path.join(generated, "Probe"));
const Second = require(path.join(generated, "SecondService"));
const Test = require(path.join(generated, "ThriftTest"));
const { Digit, Insanity, Nest, Rest, Thing } = require(path.join(generated, "calls_types"));

const AT_ONCE = 50;

const thing = (text) =>
  new Thing({ string_thing: text, byte_thing: 1, i32_thing: -3, i64_thing: new Int64(-5) });

async function scalars(probe) {
  group("scalars");
  await probe.testVoid();
  for (const text of ["", "Node", "Grüße, 世界 🐍", 'a " b \\ c / d', "x".repeat(300)]) {
    await probe.testString(text);
  }
  for (const yes of [true, false]) await probe.testBool(yes);
  for (const number of [0, 1, -1, 127, -128]) await probe.testByte(number);
  for (const number of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) await probe.testI32(number);
  for (const number of [0, -1, 2 ** 34, -(2 ** 52)]) await probe.testI64(new Int64(number));
  for (const number of [0, 5.25, -1e300, 1e-300]) await probe.testDouble(number);
  await probe.testBinary(Buffer.from([0, 1, 2, 254, 255]));
  await probe.testBinary(Buffer.alloc(100_000, 7));
  await probe.testEnum(Digit.EIGHT);
  await probe.testTypedef(new Int64(309858235082523));
}

async function structures(probe) {
  group("structures");
  await probe.testStruct(thing("Zero"));
  await probe.testNest(new Nest({ byte_thing: 1, struct_thing: thing("in"), i32_thing: 5 }));
  await probe.testMap({ 0: -10, 1: -9 });
  await probe.testStringMap({ a: "2", some: "thing" });
  await probe.testSet([1, 2, 3]);
  await probe.testList([1, 4, 9, 16]);
  await probe.testList(Array.from({ length: 1000 }, (_, n) => n));
  await probe.testMapMap(42);
  await probe.testInsanity(new Insanity({ users: { 5: new Int64(5) }, things: [thing("a")] }));
  await probe.testMulti(74, 255, new Int64(2 ** 32), { 0: "none" }, Digit.FIVE, new Int64(240));
  await probe.rest(
    new Rest({
      yes: true,
      no: false,
      short: -32768,
      answers: [true, false],
      words: ["a"],
      deep: { x: [[1], []] },
      numbers: [1.5],
      nests: [new Nest({ byte_thing: 3 })],
      empty: [{}, { 1: -1 }],
      last: 7,
    }),
  );
  await probe.headers();
  await probe.who();
}

async function exceptions(probe) {
  group("exceptions");
  for (const which of ["Xception", "TException", "success"]) await probe.testException(which);
  for (const which of ["Xception", "Xception2", "success"]) {
    await probe.testMultiException(which, "some text");
  }
  await probe.testVoid();
}

// Has no reply: whether it came is asked on the same connection until it has.
async function oneway(client) {
  group("oneway");
  const number = Math.floor(Math.random() * 2 ** 24);
  for (let i = 0; i < 3; i += 1) await client.testOneway(number);
  const until = Date.now() + 20_000;
  let heard = 0;
  do heard = await client.heard(number);
  while (heard < 3 && Date.now() < until);
  called.add("testOneway").add("heard");
  step("testOneway, three times", heard);
}

// Each call must get its own reply, whatever order they are served in.
async function atOnce(client) {
  group("at once");
  const calls = Array.from({ length: AT_ONCE }, (_, i) => {
    if (i % 10 === 3) return client.testException("Xception");
    if (i % 10 === 7) return client.testString(`${i}`.repeat(10_000));
    return client.wait(`reply ${i}`, (i * 7) % 10);
  });
  const replies = await Promise.all(calls.map(result));
  replies.forEach((reply, i) => step(`call ${i}`, plain(reply)));
}

async function multiplexed(port, dialect) {
  group("multiplexed");
  const connection = connect(port, dialect);
  const multiplexer = new thrift.Multiplexer();
  const test = multiplexer.createClient("ThriftTest", Test, connection);
  const second = multiplexer.createClient("SecondService", Second, connection);
  const one = recorder(test, "ThriftTest:");
  const two = recorder(second, "SecondService:");
  for (let i = 0; i < 2; i += 1) {
    await one.testString("one");
    await two.secondtestString("two");
  }
  const calls = Array.from({ length: AT_ONCE }, (_, i) =>
    i % 2 ? test.testI32(i) : second.secondtestString(`${i}`),
  );
  const replies = await Promise.all(calls.map(result));
  replies.forEach((reply, i) => step(`multiplexed call ${i}`, plain(reply)));
  connection.end();
}

async function main() {
  const { port, dialect } = options();
  const connection = connect(port, dialect);
  const client = thrift.createClient(Probe, connection);
  const probe = recorder(client);
  await scalars(probe);
  await structures(probe);
  await exceptions(probe);
  await oneway(client);
  await atOnce(client);
  connection.end();
  await multiplexed(port, dialect);
  const methods = [Probe, Second, Test].flatMap((service) =>
    Object.getOwnPropertyNames(service.Client.prototype).filter((n) => n.startsWith("send_")),
  );
  // Calls that a router answers in ways of its own, see errors.js.
  const missing = methods.map((n) => n.slice(5)).filter((n) => !called.has(n) && n !== "die" && n !== "wait");
  if (missing.length > 0) throw new Error(`never called: ${missing}`);
  end();
}

main().catch((error) => {
  process.stderr.write(`${error.stack || error}\n`);
  process.exit(1);
});
