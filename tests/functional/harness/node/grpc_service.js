// What client and server of the tests agree on: messages are JSON, no .proto file is needed.
const codec = {
    requestSerialize: (value) => Buffer.from(JSON.stringify(value)),
    requestDeserialize: (bytes) => JSON.parse(bytes.toString()),
    responseSerialize: (value) => Buffer.from(JSON.stringify(value)),
    responseDeserialize: (bytes) => JSON.parse(bytes.toString()),
};

function method(name, requestStream, responseStream) {
    return {path: `/test.Echo/${name}`, requestStream, responseStream, ...codec};
}

module.exports = {
    Unary: method("Unary", false, false),
    Fail: method("Fail", false, false),
    Stuck: method("Stuck", false, false),
    Count: method("Count", false, true),
    Sum: method("Sum", true, false),
    Chat: method("Chat", true, true),
};
