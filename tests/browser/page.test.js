// What an operator sees and does on the status page.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before } from "node:test";

import { launch, visit } from "./harness/browser.js";
import { Edge, configuration, echoTarget, eventually } from "./harness/edge.js";
import { test } from "./harness/scene.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const shortDrain = { server: "drain: {deadline: 2s}" };

async function start(scene, groups = ["chat"], options = {}, look = {}) {
  const named = {};
  for (const name of groups) named[name] = [await echoTarget(scene)];
  const edge = await Edge.start(scene, configuration(named, options));
  const page = await visit(scene, browser, `${edge.admin}/`, look);
  return { edge, page, named };
}

function tunnelRows(page) {
  return page.locator("#tunnel-rows tr");
}

async function seen(page, locator, count) {
  await eventually(`${count} of ${locator}`, async () => (await locator.count()) === count);
}

async function confirm(page, verb, words) {
  const dialog = page.getByRole("dialog", { name: /.+/ }).filter({ has: page.getByRole("button", { name: verb, exact: true }) });
  await dialog.waitFor();
  assert.match(await dialog.innerText(), words);
  await dialog.getByRole("button", { name: verb, exact: true }).click();
  return dialog;
}

function closed(socket) {
  return once(socket, "close").then(([code]) => code);
}

async function target(edge) {
  return (await edge.status()).targetGroups[0].targets[0];
}

test("a tunnel that opens is shown with its growing bytes and is ended from the page", async scene => {
  // That of a tunnel that is over.
  const { edge, page } = await start(scene, ["chat"], {}, { expected: /404/ });
  await page.getByText("No tunnel is open.").waitFor();
  const socket = await edge.client("/chat?room=7");
  await seen(page, tunnelRows(page), 1);
  assert.match(await tunnelRows(page).innerText(), /\/chat\?room=7/);
  await page.locator(".tile", { hasText: "Tunnels" }).getByText("1", { exact: true }).waitFor();

  await page.getByRole("button", { name: /details of tunnel/ }).click();
  const fact = page.locator("#tunnel-facts div", { hasText: "From the client" });
  const figures = async () => (await fact.innerText()).replace(/,/g, "").match(/(\d+) bytes\D*(\d+) frame/).slice(1).map(Number);
  await fact.waitFor();
  assert.deepEqual(await figures(), [0, 0]);
  for (const frames of [1, 2]) {
    socket.send("x".repeat(1000));
    // A masked frame of 1,000 bytes has a head of 8.
    const grown = async () => (await figures()).join() === [1008 * frames, frames].join();
    await eventually(`${frames} frames are shown`, grown);
  }
  const end = closed(socket);
  await page.locator("#tunnel").getByRole("button", { name: "End…" }).click();
  await confirm(page, "End it", /1 tunnel of \S+ is ended/);
  assert.equal(await end, 1008);
  const line = await edge.logged("the tunnel", ({ upgrade }) => upgrade === "websocket");
  assert.equal(line.closeReason, "killed");
  await page.getByText("It has ended").waitFor();
  await page.locator("#closed li", { hasText: "killed" }).getByText("1", { exact: true }).waitFor();
});

test("all tunnels that match are ended, and no other", async scene => {
  const { edge, page } = await start(scene, ["a", "b"]);
  const away = await Promise.all([0, 1, 2].map(() => edge.client("/1")));
  const stays = await edge.client("/0");
  await seen(page, tunnelRows(page), 4);
  assert.equal(await page.locator("#end-all").isVisible(), false);
  await page.getByLabel("Target group", { exact: true }).fill("b");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await seen(page, tunnelRows(page), 3);
  await page.getByRole("button", { name: "End all 3 that match…" }).click();
  const ends = away.map(closed);
  await confirm(page, "End them", /3 tunnels \(targetGroup b\)/);
  assert.deepEqual(await Promise.all(ends), [1008, 1008, 1008]);
  const said = page.locator("#said").getByText("3 tunnels ended");
  await said.waitFor();
  // It is there to be read, too.
  assert.ok((await said.boundingBox()).height > 10);
  assert.equal(stays.readyState, 1);
  await page.getByRole("button", { name: "Clear" }).click();
  await seen(page, tunnelRows(page), 1);
});

test("a search finds tunnels by client, block, rule, group, target and id, and tells what is wrong with it", async scene => {
  const expected = /400/;
  const { edge, page, named } = await start(scene, ["a", "b"], {}, { expected });
  await edge.client("/0", { "X-Forwarded-For": "192.0.2.7" });
  await edge.client("/1", { "X-Forwarded-For": "198.51.100.9" });
  await seen(page, tunnelRows(page), 2);
  const [, { id }] = await edge.tunnels(2);
  const search = async (label, value) => {
    await page.getByRole("button", { name: "Clear" }).click();
    await seen(page, tunnelRows(page), 2);
    await page.locator("#search").getByLabel(label, { exact: true }).fill(value);
    await page.getByRole("button", { name: "Search", exact: true }).click();
  };
  for (const [label, value, count] of [
    ["Client", "192.0.2.7", 1],
    ["Client", "198.51.100.0/24", 1],
    ["Client", "10.0.0.0/8", 0],
    ["Target group", "b", 1],
    ["Target", `127.0.0.1:${named.a[0]}`, 1],
    ["Forwarding rule", "nobody", 0],
    ["Id", id, 1],
    ["Open for at least", "1h", 0],
  ]) {
    await search(label, value);
    await seen(page, tunnelRows(page), count);
  }
  await search("Client", "10.0.0.0/33");
  await page.locator("#search-error").getByText("client:").waitFor();
});

test("more tunnels than a page has are on the next ones", async scene => {
  const { edge, page } = await start(scene);
  const open = length => Promise.all(Array.from({ length }, () => edge.client()));
  await open(25);
  const last = await open(5);
  const place = text => page.locator("#pages-place").getByText(text, { exact: true }).waitFor();
  const next = page.getByRole("button", { name: "Next" });
  await place("25 of 30, page 1");
  await next.click();
  await place("5 of 30, page 2");
  await seen(page, tunnelRows(page), 5);
  await page.getByRole("button", { name: "Back", exact: true }).click();
  await place("25 of 30, page 1");
  await next.click();
  await place("5 of 30, page 2");
  for (const socket of last) socket.close(1000);
  await place("25 of 25, page 1");
  assert.equal(await page.locator("#tunnels-none").isVisible(), false);
});

test("tunnels of old processes are told beside those of this one", async scene => {
  const { edge, page } = await start(scene);
  const status = { ...(await edge.status()), oldGenerationTunnels: 99_800 };
  const figures = { status, traffic: { opened: 0, closed: [], bytesIn: 0, bytesOut: 0, ages: [] } };
  const answer = { contentType: "text/event-stream", body: `data: ${JSON.stringify(figures)}\n\n` };
  await page.route("**/api/v1/events", route => route.fulfill(answer));
  await page.reload();
  await page.locator(".tile").getByText("0 connections, + 99,800 in old processes").waitFor();
});

test("a target is taken into maintenance, brought back and drained", async scene => {
  const { edge, page, named } = await start(scene, ["chat"], shortDrain);
  const socket = await edge.client();
  const row = page.locator("#groups tbody tr");
  await row.getByRole("button", { name: /^1 tunnel of/ }).waitFor();
  await row.getByRole("button", { name: `Maintenance… 127.0.0.1:${named.chat[0]}` }).click();
  await confirm(page, "Take it out", /its 1 tunnel stay open/);
  await row.getByText("maintenance, by hand").waitFor();
  assert.equal((await target(edge)).maintenance, true);
  await row.getByRole("button", { name: "Bring back…" }).click();
  await confirm(page, "Bring it back", /takes new tunnels/);
  await row.getByText("healthy").waitFor();
  assert.equal(socket.readyState, 1);
  const end = closed(socket);
  await row.getByRole("button", { name: "Drain…" }).click();
  await confirm(page, "Drain it", /its 1 tunnel are ended/);
  assert.equal(await end, 1012);
  await row.getByText("draining, by hand").waitFor();
  assert.equal((await edge.logged("the tunnel", ({ upgrade }) => upgrade)).closeReason, "drained");
});

test("a reload is asked for, and what is wrong with the configuration is shown", async scene => {
  const { edge, page, named } = await start(scene, ["chat"], {}, { expected: /422/ });
  edge.configure(configuration(named).replace("ROUND_ROBIN", "SOMEHOW"));
  await page.getByRole("button", { name: "Reload…" }).click();
  const dialog = await confirm(page, "Reload", /No tunnel is touched/);
  await dialog.getByText(/targetGroups\[0\] "\w+": algorithm/).waitFor();
  await page.locator("#rejection").getByText("was rejected").waitFor();
  await page.locator("#rejection li").getByText(/targetGroups\[0\] "\w+": algorithm/).waitFor();
  edge.configure(configuration({ renamed: named.chat }));
  await dialog.getByRole("button", { name: "Reload", exact: true }).click();
  await dialog.waitFor({ state: "hidden" });
  await page.getByRole("heading", { name: "renamed" }).waitFor();
  await page.getByText(/last reload at \d+:\d+:\d+ UTC: applied/).waitFor();
  await page.locator("#rejection").waitFor({ state: "hidden" });
  await page.clock.setFixedTime(Date.now() + 24 * 3600 * 1000);
  await page.getByText(/last reload at \d+-\d+-\d+ \d+:\d+:\d+ UTC: applied/).waitFor();
});

test("a drain shows how far it is, and the page when the process is gone", async scene => {
  const expected = /ERR_|Failed to load/;
  const { edge, page } = await start(scene, ["chat"], { server: "drain: {readyDelay: 3s, deadline: 6s}" }, { expected });
  const socket = await edge.client();
  const tile = page.locator(".tile", { hasText: "Tunnels" });
  await tile.getByText("1 connection").waitFor();
  await tile.getByText("1", { exact: true }).waitFor();
  const end = closed(socket);
  await page.locator("#drain").click();
  const yes = page.getByRole("button", { name: "Drain and end", exact: true });
  assert.equal(await yes.isDisabled(), true);
  await page.getByLabel(/Type \S+ to go on/).fill((await edge.status()).node);
  await confirm(page, "Drain and end", /1 tunnel and 1 client in all/);
  await page.locator("#state").getByText(/draining, \d s left/).waitFor();
  assert.equal(await end, 1012);
  await eventually("the process is gone", () => edge.process.exitCode === 0);
  await page.locator("#lost").getByText("Connection lost").waitFor();
});
