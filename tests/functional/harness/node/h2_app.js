// An HTTP/2 server for tests: `node h2_app.js PORT [KEY CRT]`. With a key it speaks HTTP/1.1 to those
// who do not choose h2. It tells on its output when it listens.
const http2 = require("node:http2");
const fs = require("node:fs");

const [port, key, crt] = process.argv.slice(2);

function facts(request) {
    return JSON.stringify({
        version: request.httpVersion,
        method: request.method,
        path: request.url,
        authority: request.authority || request.headers.host,
        headers: request.headers,
    });
}

function echoWithTrailers(request, response) {
    response.setHeader("x-kind", "echo");
    response.addTrailers({"x-sum": "42"});
    request.pipe(response);
}

// Extended CONNECT: what comes goes back.
function tunnel({stream}) {
    stream.respond({":status": 200});
    stream.pipe(stream);
}

function handle(request, response) {
    const path = request.url.split("?")[0];

    if (path === "/trailers") return request.resume().on("end", () => response.end(JSON.stringify(request.trailers)));
    if (path === "/echo") return echoWithTrailers(request, response);
    if (path === "/hints") response.writeEarlyHints({link: "</style.css>; rel=preload; as=style"});
    response.setHeader("content-type", "application/json");
    response.end(facts(request));
}

const server = key
    ? http2.createSecureServer({key: fs.readFileSync(key), cert: fs.readFileSync(crt), allowHTTP1: true}, handle)
    : http2.createServer({settings: {enableConnectProtocol: true}}, handle);

server.on("connect", tunnel);

server.listen(Number(port), "127.0.0.1", () => console.log("listening"));
