// A Dubbo server of sofa-rpc-node with dubbo-remoting as its protocol.
"use strict";

require("./loopback");
const { RpcServer } = require("sofa-rpc-node").server;
const protocol = require("dubbo-remoting");
const { INTERFACE, VERSION, methods, ready } = require("./service");
const { typed, untyped } = require("./values");

const name = process.argv[2];

// Anything false in JavaScript would be written without the flag that says what it is.
const boxed = (value) =>
  value && value.$class ? value : { $class: "java.lang.Object", $: value ?? null };

class Server extends RpcServer {
  // The methods' `this`.
  createContext(request) {
    return { attachments: request.data.requestProps };
  }
}

const quiet = { info() {}, warn() {}, error() {}, debug() {} };
const server = new Server({ port: 0, version: VERSION, logger: quiet, protocol });
server.on("error", () => {});

const service = methods({
  name,
  made: { ...typed(), ...untyped() },
  declared: (text) => ({ $class: "java.lang.Exception", $: new Error(text) }),
});
const delegate = {};
for (const [method, run] of Object.entries(service)) {
  delegate[method] = async (...args) => boxed(await run(...args));
}
delegate.attachments = async function (name) {
  return boxed(String(this.attachments[name] ?? "none"));
};

server.addService(INTERFACE, delegate);
server.addService({ interfaceName: INTERFACE, version: "2.0", group: "other" }, delegate);
server.addService({ interfaceName: "com.heptad.Other" }, delegate);
server.start().then(() => ready(server.publishPort));
