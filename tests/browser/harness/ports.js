// Ports to listen on, which nobody else gets meanwhile. They are claimed as tests/edge/harness/ports.rs says: in UDP, where the
// claim lasts as long as this process, and below those that connections leave from.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const claims = "127.255.255.254";
const lowest = 10_000;
const ephemeral = 32_768;
const enough = 2000;

const [first] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/).map(Number);
const count = (first - lowest < enough ? ephemeral : first) - lowest;
let next = process.pid * 997;

async function isBound(socket) {
  return once(socket, "listening").then(() => true, () => false);
}

async function isFree(port) {
  const server = createServer().listen(port, "0.0.0.0");
  if (!(await isBound(server))) return false;
  await new Promise(resolve => server.close(resolve));
  return true;
}

// One of them, the caller's until its process ends.
export async function freePort() {
  for (let tries = 0; tries < count; tries += 1) {
    const port = lowest + (next++ % count);
    const claim = createSocket("udp4").bind({ port, address: claims, exclusive: true });
    if ((await isBound(claim)) && (await isFree(port))) {
      claim.unref();
      return port;
    }
    claim.close();
  }
  throw new Error("all ports are taken");
}
