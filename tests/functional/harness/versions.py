"""A node server that says its VERSION, which is to stand before it, and its pid; and who asks it."""

import urllib.request

SERVER = """
const http = require('http');
const server = http.createServer((q, r) => {
  setTimeout(() => r.end(VERSION + ' ' + process.pid), q.url === '/slow' ? 300 : 0);
});
server.listen(process.env.PORT, () => { console.log('listening'); });
process.on('SIGINT', () => process.exit(0));
"""


def get(port, path="/", timeout=10):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
        return answer.read().decode()
