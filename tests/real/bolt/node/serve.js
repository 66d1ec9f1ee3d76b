// A Bolt server of sofa-rpc-node. Usage: serve.js NAME
"use strict";

const { INTERFACE, protocol, quiet } = require("./stage");
const { RpcServer } = require("sofa-rpc-node").server;

const name = process.argv[2];
const server = new RpcServer({ port: 0, logger: quiet, protocol });
server.on("error", () => {});

// Protobuf has a message for its argument, and one for what comes back.
const method = (run) => async (arg) => {
  if (arg !== null && typeof arg === "object") return { message: await run(arg.name) };
  return { $class: "java.lang.String", $: await run(arg) };
};

const delegate = {
  echo: method(async (text) => text),
  name: method(async () => name),
  sleep: method(async (ms) => {
    await new Promise((done) => setTimeout(done, Number(ms)));
    return "awake";
  }),
  fail: method(async (text) => {
    throw new Error(text);
  }),
};
server.addService({ interfaceName: INTERFACE }, delegate);
server.addService({ interfaceName: "com.heptad.Other" }, delegate);
server.start().then(() => process.stdout.write(`${JSON.stringify({ port: server.publishPort })}\n`));
