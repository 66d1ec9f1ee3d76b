// What the scripts here have in common: the dialects of Bolt that sofa-bolt-node speaks, servers on
// the loopback address, and clients whose connections speak one dialect.
"use strict";

const net = require("node:net");
const path = require("node:path");

// The library listens on all addresses and cannot be told otherwise.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (where, ...rest) {
  if (where !== null && typeof where === "object") {
    return listen.call(this, { ...where, host: "127.0.0.1" }, ...rest);
  }
  return listen.call(this, where, "127.0.0.1", ...rest);
};

const antpb = require("antpb");
const protocol = require("sofa-bolt-node");
const { RpcClient } = require("sofa-rpc-node").client;

const proto = antpb.loadAll(path.join(__dirname, "proto"));
protocol.setOptions({ proto });

const quiet = { info() {}, warn() {}, error() {}, debug() {} };
const INTERFACE = "com.heptad.Probe";

const DIALECTS = {
  v1: { protocolType: "bolt", boltVersion: 1, crcEnable: false },
  v2: { protocolType: "bolt2", boltVersion: 1, crcEnable: false },
  "v2-crc": { protocolType: "bolt2", boltVersion: 2, crcEnable: true },
};

// Connects to a port; calls are made in one dialect and one serialization.
async function connect(port, dialect, codecType, service = INTERFACE) {
  const rpc = new RpcClient({ logger: quiet, protocol, responseTimeout: 20000 });
  rpc.on("error", () => {});
  const consumer = rpc.createConsumer({
    interfaceName: service,
    serverHost: `127.0.0.1:${port}`,
  });
  await consumer.ready();
  const connection = await consumer.getConnection({ meta: {} });
  Object.assign(connection._encoder, DIALECTS[dialect], { codecType });
  const protobuf = codecType === "protobuf";
  return {
    connection,
    close: () => rpc.close(),
    async call(method, text, props = {}) {
      const arg = protobuf ? { name: text } : { $class: "java.lang.String", $: text };
      const reply = await consumer.invoke(method, [arg], { requestProps: props });
      return protobuf ? reply.message : reply;
    },
  };
}

module.exports = { DIALECTS, INTERFACE, connect, protocol, quiet };
