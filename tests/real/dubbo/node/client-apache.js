// The client of apache-dubbo-consumer, connected to one address, in the form of ./calls.js.
"use strict";

const { DubboDirectlyInvoker } = require("apache-dubbo-consumer");
const { left } = require("./left-out");
const { INTERFACE, VERSION } = require("./service");

// `server` names the library behind, if that matters.
function connect(port, server) {
  const invoker = DubboDirectlyInvoker.from({
    dubboHost: `127.0.0.1:${port}`,
    dubboVersion: "2.0.2",
    dubboInvokeTimeout: 20000,
  });
  return {
    invoker,
    close: async () => invoker.close(),
    untyped: {},
    left: (...what) => left("apache", server, ...what),
    call(method, args, { service = INTERFACE, version = VERSION, attachments = {} } = {}) {
      const methods = { [method]: (...args) => args };
      const meta = { dubboInterface: service, version, attachments, methods };
      return invoker.proxyService(meta)[method](...args).then(({ res, err }) => {
        if (err) throw err;
        return res;
      });
    },
  };
}

module.exports = { connect };
