// A Socket.IO server on a free port, which it says on standard output. It says its name, the first argument, to whoever asks.

const { createServer } = require("node:http");
const { Server } = require("socket.io");

const name = process.argv[2];
const http = createServer();
const io = new Server(http);

io.on("connection", (socket) => socket.on("who", (answer) => answer(name)));
http.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${http.address().port}`));
