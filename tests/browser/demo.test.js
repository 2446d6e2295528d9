// The demo's page, as `culvert demo` serves it.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { launch, visit } from "./harness/browser.js";
import { Edge } from "./harness/edge.js";
import { test } from "./harness/scene.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("the demo's page opens a tunnel, hears its echo, and leaves a line when it closes", async scene => {
  const edge = await Edge.demo(scene);
  const page = await visit(scene, browser, `http://127.0.0.1:${edge.port}/`);
  const state = page.getByText("the tunnel is open, to the target 127.0.0.1:");
  await state.waitFor();
  const [, port] = (await state.textContent()).match(/:(\d+)$/);
  await page.getByLabel("Message", { exact: true }).fill("grüße");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("#log .echoed").getByText("grüße").waitFor();
  assert.equal(await page.locator("#log .echoed").count(), 1);
  const status = page.getByRole("link", { name: "status page" });
  assert.equal(await status.getAttribute("href"), `${edge.admin}/`);
  await page.getByRole("button", { name: "Close the tunnel" }).click();
  const line = await edge.logged("the tunnel", ({ upgrade }) => upgrade === "websocket");
  assert.equal(line.closeReason, "client_closed");
  assert.equal(line.closeCode, 1000);
  assert.equal(line.httpRule, "chat");
  assert.equal(line.target, `127.0.0.1:${port}`);
  // Nobody asks for an icon that is not there.
  assert.deepEqual(edge.log.filter(({ httpStatusCode }) => httpStatusCode === 404), []);
});
