// What comes late, never, or while nobody looks.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { launch, setHidden, visit } from "./harness/browser.js";
import { Edge, configuration, echoTarget, eventually } from "./harness/edge.js";
import { test } from "./harness/scene.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

async function start(scene, look = {}) {
  const edge = await Edge.start(scene, configuration({ chat: [await echoTarget(scene)] }));
  const page = await visit(scene, browser, `${edge.admin}/`, look);
  await page.locator("#link").getByText("live").waitFor();
  return { edge, page };
}

// Keeps requests back until they are let go, and answers them itself.
async function hold(page, method, path, status, json) {
  let letGo;
  const gate = new Promise(resolve => (letGo = resolve));
  const isHeld = url => url.pathname + url.search === path;
  const reached = page.waitForRequest(request => request.method() === method && isHeld(new URL(request.url())));
  await page.route(isHeld, async route => {
    if (route.request().method() !== method) return route.fallback();
    await gate;
    await route.fulfill({ status, json });
  });
  return { reached, letGo };
}

// What an element is like at each change from now on: `look` says, of the element.
function watch(page, selector, look) {
  return page.evaluate(([selector, look]) => {
    const element = document.querySelector(selector);
    globalThis.changes = [];
    new MutationObserver(() => globalThis.changes.push(String(element[look])))
      .observe(element, { attributes: true, childList: true, characterData: true, subtree: true });
  }, [selector, look]);
}

function changes(page) {
  return page.evaluate(() => globalThis.changes);
}

async function answers(page, times, isIt) {
  for (let time = 0; time < times; time += 1) await page.waitForResponse(isIt);
}

test("looking away and back does not make old figures new", async scene => {
  const { edge, page } = await start(scene, { expected: /ERR_|Failed to load/ });
  await edge.stop();
  await page.locator("#lost").getByText("Connection lost").waitFor();
  const curve = () => page.locator(".spark polyline").first().getAttribute("points");
  const before = await curve();
  await setHidden(page, true);
  await setHidden(page, false);
  await page.locator("#link").getByText(/connection lost, figures of/).waitFor();
  assert.equal(await page.locator("#lost").isVisible(), true);
  assert.equal(await curve(), before);
});

test("a page that nobody sees holds no stream, and follows again when it is looked at", async scene => {
  const { edge, page } = await start(scene);
  // It has its place before others come.
  await page.locator("#link").getByText("live").waitFor();
  const join = async () => {
    const leaving = new AbortController();
    scene.after(() => leaving.abort());
    return fetch(`${edge.admin}/api/v1/events`, { signal: leaving.signal });
  };
  for (let place = 1; place < 16; place += 1) assert.equal((await join()).status, 200);
  assert.equal((await join()).status, 503);
  await setHidden(page, true);
  const last = await eventually("the page's place is free", async () => {
    const viewer = await join();
    return viewer.status === 200 && viewer;
  });
  for (const path of ["/1", "/2", "/3"]) await edge.client(path);
  // Whoever stops reading leaves.
  for await (const part of last.body.pipeThrough(new TextDecoderStream())) if (part.includes('"opened":3')) break;
  await setHidden(page, false);
  const opened = page.locator(".tile", { hasText: "Opened" });
  await opened.getByText("3 in all").waitFor();
  // They were opened while nobody looked, not in this second.
  assert.match(await opened.locator(".figure").innerText(), /^(–|0 \/s)$/);
  await page.locator("#link").getByText("live").waitFor();
});

test("an order that is not answered is an error in the end", async scene => {
  const { page } = await start(scene);
  await page.evaluate(() => {
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    AbortSignal.timeout = limit => {
      globalThis.limit = limit;
      return timeout(limit / 100);
    };
  });
  await page.route("**/api/v1/reload", () => {});
  await page.getByRole("button", { name: "Reload…" }).click();
  await page.getByRole("button", { name: "Reload", exact: true }).click();
  await page.locator("#confirm-error").getByText("Culvert does not answer.").waitFor();
  assert.equal(await page.evaluate(() => globalThis.limit), 30_000);
});

test("an answer that comes after its question was closed is told, and goes into no other question", async scene => {
  const { edge, page } = await start(scene, { expected: /500/ });
  await edge.client();
  const [{ id }] = await edge.tunnels(1);
  const { reached, letGo } = await hold(page, "DELETE", `/api/v1/tunnels/${id}`, 500, { error: "something is wrong" });
  await page.locator("#tunnel-rows").getByRole("button", { name: "End…" }).click();
  await page.getByRole("button", { name: "End it" }).click();
  await reached;
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Reload…" }).click();
  letGo();
  await page.locator("#said").getByText("End a tunnel: something is wrong").waitFor();
  assert.equal(await page.locator("#confirm-title").innerText(), "Reload the configuration");
  assert.equal(await page.locator("#confirm-error").isVisible(), false);
  assert.equal(await page.locator("#confirm-yes").isEnabled(), true);
});

test("what is told late of one tunnel does not go into the details of another", async scene => {
  const { edge, page } = await start(scene, { expected: /404/ });
  await edge.client("/first");
  const [first] = await edge.tunnels(1);
  await edge.client("/second");
  const [, second] = await edge.tunnels(2);
  const { reached, letGo } = await hold(page, "GET", `/api/v1/tunnels/${first.id}`, 404, { error: "no such tunnel" });
  const details = page.getByRole("button", { name: /details of tunnel/ });
  await eventually("both are shown", async () => (await details.count()) === 2);
  await details.first().click();
  await reached;
  await page.locator("#tunnel-close").click();
  await details.last().click();
  await page.locator("#tunnel").getByText("● open").waitFor();
  await watch(page, "#tunnel-state", "textContent");
  letGo();
  await answers(page, 2, response => response.url().endsWith(`/tunnels/${second.id}`));
  assert.deepEqual(await changes(page), []);
  await page.locator("#tunnel-facts").getByText("/second").waitFor();
});

test("an outdated answer does not hide what is wrong with a newer search", async scene => {
  const { page } = await start(scene, { expected: /400/ });
  const nothing = { tunnels: [], next: null, total: 0 };
  const { reached, letGo } = await hold(page, "GET", "/api/v1/tunnels?limit=25", 200, nothing);
  await reached;
  await page.locator("#search").getByLabel("Client", { exact: true }).fill("10.0.0.0/33");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await page.locator("#search-error").getByText("client:").waitFor();
  assert.equal(await page.locator("#tunnels-none").isVisible(), false);
  await watch(page, "#search-error", "hidden");
  letGo();
  await answers(page, 2, response => response.status() === 400);
  assert.deepEqual(await changes(page), []);
});
