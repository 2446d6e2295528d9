// The demo's page: its configuration and its document, on free ports.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before } from "node:test";

import { launch, visit } from "./harness/browser.js";
import { Edge, echoTarget } from "./harness/edge.js";
import { test } from "./harness/scene.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

function demo(name) {
  return readFileSync(new URL(`../../src/demo/${name}`, import.meta.url), "utf8");
}

test("the demo's page opens a tunnel, hears its echo, and leaves a line when it closes", async scene => {
  const text = demo("demo.yaml")
    .replace("127.0.0.1:9900", "127.0.0.1:ADMIN_PORT")
    .replace("listenerPort: 8080", "listenerPort: PORT")
    .replace("{{first target}}", await echoTarget(scene))
    .replace("{{second target}}", await echoTarget(scene))
    .replace("{{page}}", () => JSON.stringify(demo("chat.html")));
  const edge = await Edge.start(scene, text);
  const page = await visit(scene, browser, `http://127.0.0.1:${edge.port}/`, { expected: /404/ });
  await page.getByText("the tunnel is open").waitFor();
  await page.getByLabel("Message", { exact: true }).fill("grüße");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("#log .echoed").getByText("grüße").waitFor();
  await page.getByRole("button", { name: "Close the tunnel" }).click();
  const line = await edge.logged("the tunnel", ({ upgrade }) => upgrade === "websocket");
  assert.equal(line.closeReason, "client_closed");
  assert.equal(line.closeCode, 1000);
  assert.equal(line.httpRule, "chat");
});
