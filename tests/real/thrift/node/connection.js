// A connection in a dialect such as `framed-compact`, and clients on it.
"use strict";

const { parseArgs } = require("util");
const thrift = require("thrift");

const TRANSPORTS = { buffered: thrift.TBufferedTransport, framed: thrift.TFramedTransport };
const PROTOCOLS = {
  binary: thrift.TBinaryProtocol,
  compact: thrift.TCompactProtocol,
  json: thrift.TJSONProtocol,
};

// Connects. A connection that breaks fails what is under way: the library itself would leave its
// callers waiting.
function connect(port, dialect) {
  const [transport, protocol] = dialect.split("-");
  const connection = thrift.createConnection("127.0.0.1", port, {
    transport: TRANSPORTS[transport],
    protocol: PROTOCOLS[protocol],
  });
  connection.on("error", (error) => {
    process.stderr.write(`connection: ${error}\n`);
    process.exit(1);
  });
  return connection;
}

// `--port` and `--dialect`.
function options() {
  const { values } = parseArgs({ options: { port: { type: "string" }, dialect: { type: "string" } } });
  return values;
}

module.exports = { connect, options, thrift };
