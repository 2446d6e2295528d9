// Who may see the page, what it may do, and what it does when nobody answers.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before } from "node:test";

import { launch, visit } from "./harness/browser.js";
import { Edge, configuration, echoTarget, eventually } from "./harness/edge.js";
import { test } from "./harness/scene.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("where nothing can be changed there are no buttons for it", async scene => {
  const edge = await Edge.start(scene, configuration({ chat: [await echoTarget(scene)] }, { admin: "readOnly: true" }));
  const page = await visit(scene, browser, `${edge.admin}/`);
  await edge.client();
  await page.getByText("read-only").waitFor();
  await page.locator("#tunnel-rows tr").waitFor();
  await page.getByRole("textbox", { name: "Client" }).fill("127.0.0.1");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await page.getByText("1 of 1, page 1").waitFor();
  assert.equal(await page.getByRole("button", { name: /…/ }).count(), 0);
  await page.getByRole("button", { name: /details of tunnel/ }).click();
  await page.locator("#tunnel").getByText("● open").waitFor();
  assert.equal(await page.getByRole("button", { name: /…/ }).count(), 0);
});

test("a token is asked for, until it is valid, and kept for the tab", async scene => {
  const edge = await Edge.start(scene, configuration({ chat: [await echoTarget(scene)] }));
  const admin = `tokenFile: ${edge.folder}/token`;
  writeFileSync(`${edge.folder}/token`, "0123456789abcdef");
  edge.configure(configuration({ chat: [1] }, { admin }));
  edge.process.kill("SIGHUP");
  await eventually("the token is needed", async () => (await fetch(`${edge.admin}/api/v1/status`)).status === 401);
  const page = await visit(scene, browser, `${edge.admin}/`, { expected: /401/ });
  const enter = async token => {
    await page.getByLabel("Token", { exact: true }).fill(token);
    await page.keyboard.press("Enter");
  };
  await page.getByText("a token is needed:").waitFor();
  for (let time = 0; time < 3; time += 1) await page.keyboard.press("Escape");
  await enter("a-wrong-token-of-16");
  await page.getByText("the token is not valid").waitFor();
  await enter("0123456789abcdef");
  await page.locator("#state").getByText("serving").waitFor();
  await page.reload();
  await page.locator("#state").getByText("serving").waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);

  writeFileSync(`${edge.folder}/token`, "another-token-than-before");
  edge.process.kill("SIGHUP");
  await page.getByText("the token is not valid").waitFor();
  await enter("another-token-than-before");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.locator("#link").getByText("live").waitFor();
});

test("a lost connection is shown with the age of the figures, and the page comes back by itself", async scene => {
  const text = configuration({ chat: [await echoTarget(scene)] });
  const edge = await Edge.start(scene, text);
  const page = await visit(scene, browser, `${edge.admin}/`, { expected: /ERR_|Failed to load/ });
  await page.locator("#link").getByText("live").waitFor();
  await edge.stop();
  await page.locator("#lost").getByText("Connection lost").waitFor();
  await page.locator("#link").getByText(/connection lost, figures of [1-9]\d* s ago/).waitFor();
  await edge.run(["-c", edge.file]);
  await page.locator("#link").getByText("live").waitFor();
  await page.locator("#lost").waitFor({ state: "hidden" });
  await page.locator(".tile", { hasText: "Up" }).getByText(`process ${edge.process.pid}`).waitFor();
});

test("a process that stops answering is noticed without an end of its stream", async scene => {
  const edge = await Edge.start(scene, configuration({ chat: [await echoTarget(scene)] }));
  const page = await visit(scene, browser, `${edge.admin}/`, { expected: /ERR_|Failed to load/ });
  await page.locator("#link").getByText("live").waitFor();
  edge.process.kill("SIGSTOP");
  scene.after(() => edge.process.kill("SIGCONT"));
  await page.locator("#link").getByText("connection lost").waitFor();
  edge.process.kill("SIGCONT");
  await page.locator("#link").getByText("live").waitFor();
});

test("names with markup in them are shown as text", async scene => {
  const name = "<img src=x onerror=alert(1)>";
  const groups = { [name]: [await echoTarget(scene)] };
  const edge = await Edge.start(scene, configuration(groups).replace("- name: edge", `- name: "<b>edge</b>"`));
  const page = await visit(scene, browser, `${edge.admin}/`);
  await edge.client();
  await page.getByRole("heading", { name }).waitFor();
  await page.getByRole("heading", { name: "<b>edge</b>" }).waitFor();
  await page.locator("#tunnel-rows").getByText(name).waitFor();
  await page.getByRole("button", { name: /details of tunnel/ }).click();
  await page.locator("#tunnel-facts").getByText("<b>edge</b>").waitFor();
  assert.equal(await page.locator("main img, main b, dialog b").count(), 0);
});

test("a script that is not the page's own does not run", async scene => {
  const edge = await Edge.start(scene, configuration({ chat: [await echoTarget(scene)] }));
  const page = await visit(scene, browser, `${edge.admin}/`, { expected: /policy|Content Security Policy/i });
  await page.locator("#link").getByText("live").waitFor();
  const ran = await page.evaluate(async () => {
    const script = document.createElement("script");
    script.textContent = "globalThis.ran = true";
    document.body.append(script);
    const other = await fetch("http://127.0.0.1:1/").catch(error => error.name);
    return [globalThis.ran, other];
  });
  assert.deepEqual(ran, [undefined, "TypeError"]);
});
