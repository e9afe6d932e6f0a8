// A server of gRPC for tests: `node grpc_server.js ADDRESS NAME [KEY CRT]`, with @grpc/grpc-js found by
// NODE_PATH. It tells on its output when it listens.
const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const service = require("./grpc_service.js");

const [address, name, key, crt] = process.argv.slice(2);
let cancelled = 0;
let hurried = 0; // calls that have to be answered within a second

function unary(call, callback) {
    const first = new grpc.Metadata();
    const last = new grpc.Metadata();

    first.set("x-first", "head");
    last.set("x-last", "trailer");
    call.sendMetadata(first);
    callback(null, {name, cancelled, hurried, text: call.request.text, peer: call.metadata.getMap()}, last);
}

function fail(call, callback) {
    const metadata = new grpc.Metadata();

    metadata.set("x-why", "because");
    callback({code: grpc.status.FAILED_PRECONDITION, details: "not today: 100% no", metadata});
}

// By its deadline the server ends it by itself.
function stuck(call) {
    if (call.getDeadline() - Date.now() < 1000) hurried++;
    call.on("cancelled", () => cancelled++);
}

function count(call) {
    for (let i = 0; i < call.request.to; i++) call.write({i, pad: call.request.pad});
    call.end();
}

function sum(call, callback) {
    let total = 0;

    call.on("data", (message) => (total += message.add));
    call.on("end", () => callback(null, {total}));
}

function chat(call) {
    call.on("data", (message) => call.write({answer: message.ask}));
    call.on("end", () => call.end());
    call.on("cancelled", () => cancelled++);
}

const server = new grpc.Server();
const credentials = key
    ? grpc.ServerCredentials.createSsl(null, [{private_key: fs.readFileSync(key), cert_chain: fs.readFileSync(crt)}])
    : grpc.ServerCredentials.createInsecure();

server.addService(service, {Unary: unary, Fail: fail, Stuck: stuck, Count: count, Sum: sum, Chat: chat});
server.bindAsync(address, credentials, (error) => {
    if (error) throw error;
    console.log("listening");
});
process.on("SIGTERM", () => server.tryShutdown(() => process.exit(0)));
