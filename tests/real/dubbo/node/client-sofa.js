// The client of sofa-rpc-node with dubbo-remoting as its protocol, in the form of ./calls.js.
"use strict";

const { RpcClient } = require("sofa-rpc-node").client;
const protocol = require("dubbo-remoting");
const { left } = require("./left-out");
const { INTERFACE, VERSION } = require("./service");
const { untyped } = require("./values");

const quiet = { info() {}, warn() {}, error() {}, debug() {} };

// `server` names the library behind, if that matters.
function connect(port, server) {
  const rpc = new RpcClient({ logger: quiet, protocol, responseTimeout: 20000 });
  rpc.on("error", () => {});
  const last = {};
  rpc.on("response", ({ res }) => (last.attachments = res.responseProps));
  const consumer = (service, version) =>
    rpc.createConsumer({
      interfaceName: service,
      version,
      group: "",
      serverHost: `127.0.0.1:${port}`,
    });
  return {
    last,
    consumer,
    close: () => rpc.close(),
    untyped: untyped(),
    left: (...what) => left("sofa", server, ...what),
    async call(method, args, { service = INTERFACE, version = VERSION, attachments = {} } = {}) {
      const to = consumer(service, version);
      await to.ready();
      return to.invoke(method, args, { requestProps: { service, ...attachments } });
    },
  };
}

module.exports = { connect };
