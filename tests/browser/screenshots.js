// Pictures of the status page with 2,000 tunnels over 20 targets: `make screenshots` writes them to the folder that it is given.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { launch, visit } from "./harness/browser.js";
import { Edge, configuration, echoTarget, eventually } from "./harness/edge.js";
import { scene } from "./harness/scene.js";

const folder = process.argv[2];
const tunnels = 2000;
const looks = [
  { name: "wide", viewport: { width: 1280, height: 1000 } },
  { name: "narrow", viewport: { width: 390, height: 844 } },
];

async function open(edge) {
  const sockets = [];
  while (sockets.length < tunnels) {
    const some = Array.from({ length: 50 }, (_, place) => {
      const number = sockets.length + place;
      const client = `198.51.${100 + (number % 7)}.${1 + (number % 250)}`;
      return edge.client(number % 3 ? "/chat?room=" + number : "/1/feed", { "X-Forwarded-For": client });
    });
    sockets.push(...(await Promise.all(some)));
  }
  return sockets;
}

// Some who are refused: most for their rate, one because nothing is there.
async function storm(edge) {
  const from = client => ({ "X-Forwarded-For": client });
  const handshakes = Array.from({ length: 36 }, () => edge.client("/chat", from("203.0.113.9")).then(socket => socket.close(1000)));
  const lost = fetch(`http://127.0.0.1:${edge.port}/lost/feed`, { headers: from("192.0.2.44") });
  await Promise.allSettled([...handshakes, lost]);
}

async function shoot(stage) {
  mkdirSync(folder, { recursive: true });
  const ports = await Promise.all(Array.from({ length: 20 }, () => echoTarget(stage)));
  const groups = { "chat-servers": ports.slice(0, 14), "feed-servers": ports.slice(14) };
  const lost = "      - {name: lost, type: FORWARD, targetGroup: lost-servers, conditions: [{type: PATH, condition: STARTS_WITH, value: /lost}]}\n";
  const text = configuration({ ...groups, "lost-servers": [1] }, { server: "name: fra-edge-1" });
  const limited = text.replace("    httpRules:\n", `    maxHandshakesPerSecondPerClient: 30\n    httpRules:\n${lost}`);
  const edge = await Edge.start(stage, limited);
  const sockets = await open(edge);
  const refused = setInterval(() => storm(edge), 900);
  stage.after(() => clearInterval(refused));
  const talk = setInterval(() => {
    for (const socket of sockets.slice(0, 400)) if (socket.readyState === 1) socket.send("x".repeat(900));
  }, 300);
  stage.after(() => clearInterval(talk));
  sockets.slice(-40).forEach((socket, place) => (place % 3 ? socket.close(1000) : socket.terminate()));
  const target = place => `${edge.admin}/api/v1/targetgroups/chat-servers/targets/127.0.0.1:${ports[place]}`;
  await fetch(target(2), { method: "PATCH", body: JSON.stringify({ maintenance: true }) });
  await fetch(target(5), { method: "PATCH", body: JSON.stringify({ drain: true }) });
  const browser = await launch();
  stage.after(() => browser.close());
  for (const colorScheme of ["light", "dark"]) {
    for (const { name, viewport } of looks) await picture(stage, browser, edge, `${name}-${colorScheme}`, { viewport, colorScheme });
  }
}

async function picture(stage, browser, edge, name, options) {
  const page = await visit(stage, browser, `${edge.admin}/`, options);
  // Lines need some samples.
  await eventually("some figures", () => page.evaluate(() => document.querySelector(".spark polyline")?.points.length > 6));
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.screenshot({ path: join(folder, `${name}-whole.png`), fullPage: true });
  await page.getByRole("button", { name: /details of tunnel/ }).first().click();
  await page.getByText("From the client").waitFor();
  await page.screenshot({ path: join(folder, `${name}-tunnel.png`) });
  await page.keyboard.press("Escape");
}

await scene(shoot);
