// Socket.IO clients, as many as the second argument says, of the server at the first: each begins with long polling, as they do by
// default, and goes over to WebSocket. For each the name of its server, before and after, on a line. Fails where one does.

const { io } = require("socket.io-client");

const [, , url, count] = process.argv;
const PATIENCE = 15_000;

function fail(why) {
  console.error(why);
  process.exit(1);
}

async function client() {
  // A cookie jar for each, as browsers have.
  const socket = io(url, { forceNew: true, withCredentials: true, reconnection: false });
  socket.on("connect_error", (error) => fail(`connect: ${error.message}: ${error.context?.responseText}`));
  socket.on("disconnect", (reason) => fail(`disconnect: ${reason}`));
  await new Promise((connected) => socket.on("connect", connected));
  const { engine } = socket.io;
  const upgraded = engine.transport.name === "websocket"
    ? Promise.resolve()
    : new Promise((done) => engine.once("upgrade", done));
  const before = await socket.timeout(PATIENCE).emitWithAck("who");
  await upgraded;
  const after = await socket.timeout(PATIENCE).emitWithAck("who");
  console.log(`${before} ${after} ${engine.transport.name}`);
}

setTimeout(() => fail("no end"), PATIENCE).unref();
Promise.all(Array.from({ length: Number(count) }, client)).then(() => process.exit(0), fail);
