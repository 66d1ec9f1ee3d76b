// A Dubbo server of apache-dubbo-service, with a registry that registers nowhere.
"use strict";

require("./loopback");
const { DubboService, dubboSetting } = require("apache-dubbo-service");
const { INTERFACE, VERSION, methods, ready } = require("./service");
const { typed, untyped } = require("./values");

const name = process.argv[2];
const registry = { async ready() {}, async registerServices() {}, close() {} };

const service = methods({
  name,
  made: { ...typed(), ...untyped() },
  declared: (text) => {
    throw new Error(text);
  },
});
for (const [method, run] of Object.entries(service)) {
  service[method] = async (...args) => {
    const context = args.pop();
    context.attachments = { "served-by": name };
    return run(...args);
  };
}
service.attachments = async (...args) => {
  const context = args.pop();
  return String(context.request.attachment[args[0]] ?? "none");
};

dubboSetting
  .match(INTERFACE, { group: "", version: VERSION })
  .match("com.heptad.Other", { group: "", version: VERSION });
const server = DubboService.from({
  registry,
  dubboSetting,
  services: {
    probe: { dubboInterface: INTERFACE, methods: service },
    other: { dubboInterface: "com.heptad.Other", methods: service },
  },
});
server.ready().then(() => ready(server.getPort()));
