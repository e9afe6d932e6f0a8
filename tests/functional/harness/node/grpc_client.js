// A client of gRPC for tests: `node grpc_client.js SCENARIO ADDRESS [CA]` prints one line of JSON.
const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const service = require("./grpc_service.js");

const [scenario, address, ca] = process.argv.slice(2);
const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure();
const Client = grpc.makeGenericClientConstructor(service, "Echo");
const client = new Client(address, credentials, {"grpc.enable_retries": 0});
const far = () => ({deadline: Date.now() + 30000});

// How a call ended: {code, details, reply, head, trailers}.
function ended(start) {
    return new Promise((resolve) => {
        const seen = {head: {}};
        const call = start((error, reply) => {
            seen.reply = reply;
            seen.details = error ? error.details : "";
        });

        call.on("metadata", (metadata) => (seen.head = metadata.getMap()));
        call.on("status", (status) => resolve({...seen, code: status.code, trailers: status.metadata.getMap()}));
    });
}

function unary(request, options = far(), metadata = new grpc.Metadata()) {
    return ended((done) => client.Unary(request, metadata, options, done));
}

// All messages of a stream, and its status.
function drained(call) {
    return new Promise((resolve) => {
        const messages = [];

        call.on("data", (message) => messages.push(message));
        call.on("error", () => {});
        call.on("status", (status) => resolve({messages, code: status.code}));
    });
}

const scenarios = {
    async unary() {
        const metadata = new grpc.Metadata();

        metadata.set("x-mine", "yes");
        metadata.set("x-raw-bin", Buffer.from([0, 1, 254, 255]));
        return unary({text: "hello"}, far(), metadata);
    },
    fail: () => ended((done) => client.Fail({}, new grpc.Metadata(), far(), done)),
    async count() {
        const {messages, code} = await drained(client.Count({to: 500, pad: "x".repeat(1000)}, far()));

        return {code, count: messages.length, last: messages.at(-1).i};
    },
    sum: () => ended((done) => {
        const call = client.Sum(new grpc.Metadata(), far(), done);

        for (let i = 1; i <= 500; i++) call.write({add: i, pad: "x".repeat(1000)});
        call.end();
        return call;
    }),
    // Each side waits for the other: nothing may be held back.
    async chat() {
        const call = client.Chat(new grpc.Metadata(), far());
        const answers = [];

        call.on("data", ({answer}) => {
            answers.push(answer);
            if (answer < 50) call.write({ask: answer + 1});
            else call.end();
        });
        call.on("error", () => {});
        call.write({ask: 1});
        const code = await new Promise((resolve) => call.on("status", (status) => resolve(status.code)));

        return {code, answers};
    },
    async deadline() {
        await unary({text: ""}); // the time is for the call alone, not for connecting
        const late = await ended((done) =>
            client.Stuck({}, new grpc.Metadata(), {deadline: Date.now() + 300}, done));

        return {code: late.code, heard: await counted("hurried")};
    },
    async cancel() {
        const call = client.Chat(new grpc.Metadata(), far());
        const status = new Promise((resolve) => call.on("status", resolve));

        call.on("error", () => {});
        call.on("data", () => call.cancel());
        call.write({ask: 1});
        return {code: (await status).code, heard: await counted("cancelled")};
    },
    async large() {
        const text = "y".repeat(3 << 20);
        const {code, reply} = await unary({text});

        return {code, same: reply !== undefined && reply.text === text};
    },
    async together() {
        const replies = await Promise.all(Array.from({length: 50}, (_, i) => unary({text: `${i}`})));

        return {codes: replies.map((it) => it.code), texts: replies.map((it) => it.reply.text)};
    },
    // Until its input ends: how many calls ended with which code, and who answered.
    async load() {
        const codes = {};
        const names = {};
        let going = true;

        process.stdin.on("end", () => (going = false)).resume();
        console.log("begun");
        await Promise.all(Array.from({length: 8}, async () => {
            while (going) {
                const {code, reply} = await unary({text: "x"});

                codes[code] = (codes[code] || 0) + 1;
                if (reply) names[reply.name] = (names[reply.name] || 0) + 1;
                await new Promise((resolve) => setTimeout(resolve, 5));
            }
        }));
        return {codes, names};
    },
};

// What the server counts, as soon as it has counted anything.
async function counted(what) {
    for (;;) {
        const {reply} = await unary({text: ""});

        if (reply[what] > 0) return reply[what];
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

scenarios[scenario]().then((result) => {
    console.log(JSON.stringify(result));
    process.exit(0);
});
