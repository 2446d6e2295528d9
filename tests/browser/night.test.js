// What somebody who is woken looks for: which node it is, what has happened, who is refused, and what runs out.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { launch, visit } from "./harness/browser.js";
import { Edge, configuration, echoTarget, eventually } from "./harness/edge.js";
import { test } from "./harness/scene.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const named = { server: "name: fra-1" };
const phone = { viewport: { width: 390, height: 844 } };

async function start(scene, options = named, look = {}, change = text => text) {
  const edge = await Edge.start(scene, change(configuration({ chat: [await echoTarget(scene)], gone: [1] }, options)));
  const page = await visit(scene, browser, `${edge.admin}/`, look);
  await page.locator("#link").getByText("live").waitFor();
  return { edge, page };
}

// Has somebody refused: by a target that is not there.
function refuse(edge, path = "/1") {
  return fetch(`http://127.0.0.1:${edge.port}${path}`);
}

test("the node is named in the header, the title and each question, and its name is typed before it is drained", async scene => {
  const { edge, page } = await start(scene, named, { expected: /ERR_|Failed to load/ });
  await page.locator("header").getByText("fra-1").waitFor();
  assert.equal(await page.title(), "fra-1 · Culvert");
  await page.getByRole("button", { name: "Reload…" }).click();
  await page.locator("#confirm").getByText("On fra-1").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#drain").click();
  const yes = page.getByRole("button", { name: "Drain and end", exact: true });
  const typed = page.getByLabel("Type fra-1 to go on");
  for (const text of ["", "fra-2", "fra"]) {
    await typed.fill(text);
    assert.equal(await yes.isDisabled(), true, text);
  }
  await typed.fill("fra-1");
  await page.keyboard.press("Enter");
  await eventually("the process is gone", () => edge.process.exitCode === 0);
  await page.locator("#lost").getByText("Connection lost").waitFor();
});

test("what has happened before the page is opened is drawn at once", async scene => {
  const { edge, page: first } = await start(scene, named, { expected: /404|503/ });
  const socket = await edge.client("/0");
  (await edge.client("/0")).close(1000);
  await refuse(edge);
  await eventually("it is remembered", async () => {
    const { samples } = await (await fetch(`${edge.admin}/api/v1/history`)).json();
    return samples.some(({ refused }) => refused.no_target) && samples.some(({ closed }) => closed.client_closed);
  });
  await first.close();
  const page = await visit(scene, browser, `${edge.admin}/`);
  const chart = title => page.locator(".chart", { hasText: title });
  const legend = title => chart(title).locator(".legend");
  await legend("Refusals").getByText("no_target").waitFor();
  await legend("Tunnels opened and closed").getByText("client_closed").waitFor();
  await legend("Open tunnels").getByText("chat").waitFor();
  await legend("Handshakes").getByText("99 of 100").waitFor();
  for (const name of ["to clients", "from clients"]) await legend("Bytes").getByText(name).waitFor();
  assert.ok((await chart("Refusals").locator("path.line").getAttribute("d")).startsWith("M"));
  // Where the pointer is, the figures are those of that time.
  const plot = await chart("Refusals").locator(".plot").boundingBox();
  await page.mouse.move(plot.x + plot.width - 2, plot.y + 20);
  await chart("Refusals").locator(".when").getByText(/^\d\d:\d\d:\d\d UTC$/).waitFor();
  socket.close();
});

test("who is refused is listed with the client, the rule and the reason, and can be filtered", async scene => {
  const { edge, page } = await start(scene, named, { expected: /503/ });
  await page.getByText("Nobody was refused.").waitFor();
  const rows = page.locator("#refusal-rows tr");
  for (let time = 0; time < 12; time += 1) await refuse(edge, "/1/feed?token=secret");
  await eventually("a page of them", async () => (await rows.count()) === 10);
  const text = await rows.first().innerText();
  for (const part of [/127\.0\.0\.1:\d+/, /edge \/ to gone/, /no_target/, /503/, /\/1\/feed/]) assert.match(text, part);
  assert.ok(!text.includes("secret"));
  await page.locator("#refusals-place").getByText("12, page 1 of 2").waitFor();
  await page.getByRole("button", { name: "Older" }).click();
  await eventually("the rest", async () => (await rows.count()) === 2);
  await page.getByText(/12 refusals in 5 min: 12 of 127\.0\.0\.1 \(1 client in all\)/).waitFor();
  await page.locator("#reasons li", { hasText: "no_target" }).getByText(/^12 · /).waitFor();
  await page.getByLabel("Filter refusals").fill("no such word");
  await page.getByText("None of the last ones has this.").waitFor();
  await page.locator(".tile", { hasText: "Refused" }).getByText("12 in all").waitFor();
  await page.locator("#vitals .tile", { hasText: "Answers of 5xx" }).getByText("in 5 min, most by edge / to gone").waitFor();
  await page.locator("#rules tr", { hasText: "to gone" }).getByText(/^12, 12 in 5.min$/).waitFor();
});

test("what the process uses of what there is is told, and tiles of one kind have one form", async scene => {
  const { page } = await start(scene);
  const vital = name => page.locator("#vitals .tile", { hasText: name });
  for (const [name, note] of [
    ["Memory", /[KMG]iB of .*[KMG]iB/], ["Files", /^\d[\d,]* of \d/], ["Places for clients", /^0 of \d/], ["Certificates", /no TLS here/],
    ["Lines lost", /of the access log/], ["Old processes", /nothing stays behind/], ["Up", /process \d+/],
  ]) {
    await vital(name).getByText(note).waitFor();
  }
  const forms = list => page.evaluate(id => [...document.querySelectorAll(`#${id} .tile`)].map(tile => [...tile.querySelectorAll("*")].map(({ tagName }) => tagName).join()), list);
  for (const list of ["tiles", "vitals"]) assert.equal(new Set(await forms(list)).size, 1, list);
});

test("the filters offer the rules, the groups and the targets that there are", async scene => {
  const { page } = await start(scene);
  const offered = async label => {
    const field = page.locator("#search").getByLabel(label, { exact: true });
    return field.evaluate(input => [...input.list.options].map(({ value }) => value));
  };
  assert.deepEqual(await offered("Forwarding rule"), ["edge"]);
  assert.deepEqual(await offered("Target group"), ["chat", "gone"]);
  assert.match((await offered("Target")).join(), /127\.0\.0\.1:1$/);
});

test("a narrow screen shows a few of each list, and more when it is asked for", async scene => {
  const { edge, page } = await start(scene, named, { ...phone, expected: /503/ });
  await Promise.all(Array.from({ length: 10 }, () => edge.client("/0")));
  for (let time = 0; time < 7; time += 1) await refuse(edge);
  await page.locator("#pages-place").getByText("8 of 10, page 1").waitFor();
  await page.locator("#refusals-place").getByText("7, page 1 of 2").waitFor();
  assert.equal(await page.locator("#refusal-rows tr").count(), 5);
});
