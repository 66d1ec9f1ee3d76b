// Keeps servers on the loopback address: the libraries listen on all addresses and cannot be told
// otherwise. To be required before them.
"use strict";

const net = require("node:net");

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (where, ...rest) {
  if (where !== null && typeof where === "object") {
    return listen.call(this, { ...where, host: "127.0.0.1" }, ...rest);
  }
  return listen.call(this, where, "127.0.0.1", ...rest);
};
