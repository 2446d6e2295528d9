// A Socket.IO server that says its name, the first argument, to whoever asks. It says on standard output where it listens: on the port that
// is the second.

const { createServer } = require("node:http");
const { Server } = require("socket.io");

const [name, port] = process.argv.slice(2);
const http = createServer();
const io = new Server(http);

io.on("connection", (socket) => socket.on("who", (answer) => answer(name)));
http.listen(port, "127.0.0.1", () => console.log(`127.0.0.1:${http.address().port}`));
