// Public methods of an ioredis client that no group calls, each with its reason.
"use strict";

const HERE = "about the client object itself, sends nothing";
const OTHERS = "commands of a module or of a sentinel";
const SPECIAL = "takes the connection or the server with it; in the suite redis-cli-special";

const because = (reason, names) => names.split(" ").map((name) => [name, reason]);

module.exports = new Map([
  ...because(
    HERE,
    "addBuiltinCommand addListener connect constructor createBuiltinCommand createScanStream " +
      "disconnect duplicate emit end eventNames flushQueue getBlockingTimeoutInMs " +
      "getBuiltinCommands getConfiguredBlockingTimeout getMaxListeners handleReconnection " +
      "listenerCount listeners off on once parseOptions prependListener prependOnceListener " +
      "rawListeners recoverFromFatalError removeAllListeners removeListener resetCommandQueue " +
      "resetOfflineQueue setMaxListeners setSocketTimeout setStatus silentEmit defineCommand",
  ),
  ...because(OTHERS, "sentinel"),
  ...because(SPECIAL, "psync sync shutdown replconf save"),
]);
