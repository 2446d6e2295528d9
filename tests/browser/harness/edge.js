// The real binary on free ports, its targets and its clients. What is started here ends with the test.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { WebSocket, WebSocketServer } from "./modules.js";
import { freePort } from "./ports.js";

const patience = 20_000;
const again = 25;

// Waits until something is true, and returns it.
export async function eventually(what, look) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise(resolve => setTimeout(resolve, again));
  }
}

// A target that sends every message back.
export async function echoTarget(test) {
  const server = new WebSocketServer({ port: await freePort(), host: "127.0.0.1" });
  await once(server, "listening");
  server.on("connection", socket => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on("error", () => {});
  });
  test.after(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  return server.address().port;
}

export class Edge {
  // Starts `culvert` with a configuration: a text in which ADMIN_PORT, PORT and FOLDER stand for what is free.
  static async start(test, configuration, admin) {
    const edge = new Edge();
    edge.folder = mkdtempSync(join(tmpdir(), "culvert-browser-"));
    edge.adminPort = admin ?? (await freePort());
    edge.port = await freePort();
    edge.file = join(edge.folder, "culvert.yaml");
    edge.configure(configuration);
    test.after(() => edge.clear());
    await edge.run(["-c", edge.file]);
    return edge;
  }

  // Starts `culvert demo` at a free port; it says where its status page is.
  static async demo(test) {
    const edge = new Edge();
    edge.port = await freePort();
    test.after(() => edge.stop());
    await edge.run(["demo", "--port", String(edge.port)]);
    return edge;
  }

  // Writes the configuration anew; a reload reads it.
  configure(configuration) {
    const text = configuration.replaceAll("ADMIN_PORT", this.adminPort).replaceAll("FOLDER", this.folder);
    writeFileSync(this.file, text.replaceAll("PORT", this.port));
  }

  // Starts the binary, as a test or a second time.
  async run(options) {
    this.log = [];
    this.process = spawn(process.env.CULVERT_BINARY, options, { stdio: ["ignore", "pipe", "pipe"] });
    const errors = [];
    createInterface({ input: this.process.stdout }).on("line", line => this.log.push(JSON.parse(line)));
    createInterface({ input: this.process.stderr }).on("line", line => {
      errors.push(line);
      this.adminPort ??= line.match(/(\d+)\/metrics /)?.[1];
    });
    await eventually("the edge is ready", async () => {
      if (this.process.exitCode !== null) throw new Error(errors.slice(-20).join("\n"));
      const answer = await fetch(`${this.admin}/readyz`).catch(() => undefined);
      return answer?.ok;
    });
  }

  get admin() {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  async status() {
    return (await fetch(`${this.admin}/api/v1/status`)).json();
  }

  // An open WebSocket through the edge.
  async client(path = "/chat", headers = {}) {
    const socket = new WebSocket(`ws://127.0.0.1:${this.port}${path}`, { headers });
    socket.on("error", () => {});
    await once(socket, "open");
    return socket;
  }

  // The open tunnels, once there are this many.
  tunnels(count) {
    return eventually(`${count} tunnels are listed`, async () => {
      const { tunnels } = await (await fetch(`${this.admin}/api/v1/tunnels`)).json();
      return tunnels.length === count && tunnels;
    });
  }

  // The line of the access log of which this is true.
  logged(what, isIt) {
    return eventually(what, () => this.log.find(isIt));
  }

  async stop() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGINT");
    await gone;
  }

  async clear() {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }
}

// One forwarding rule, and a group of each name with its targets' ports.
export function configuration(groups, { admin = "", server = "" } = {}) {
  const target = port => `      - {ip: 127.0.0.1, port: ${port}, healthCheckEnabled: false}\n`;
  const names = Object.keys(groups);
  const rule = name => `      - {name: ${JSON.stringify(`to ${name}`)}, type: FORWARD, targetGroup: ${JSON.stringify(name)}, conditions: [` +
    `{type: PATH, condition: STARTS_WITH, value: ${JSON.stringify(`/${names.indexOf(name)}`)}}]}\n`;
  const group = name => `  - name: ${JSON.stringify(name)}\n    algorithm: ROUND_ROBIN\n    protocol: HTTP\n    targets:\n` +
    groups[name].map(target).join("");
  return `admin: {listen: "127.0.0.1:ADMIN_PORT"${admin && `, ${admin}`}}
server: {${server}}
forwardingRules:
  - name: edge
    protocol: HTTP
    listenerIp: 127.0.0.1
    listenerPort: PORT
    trustedProxies: [127.0.0.1]
    httpRules:
${names.slice(1).map(rule).join("")}      - {name: all, type: FORWARD, targetGroup: ${JSON.stringify(names[0])}}
targetGroups:
${names.map(group).join("")}`;
}
