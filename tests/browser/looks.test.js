// The page for those who look at it on any screen, and for those who do not look at it.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { launch, overflows, violations, visit } from "./harness/browser.js";
import { Edge, configuration, echoTarget, eventually } from "./harness/edge.js";
import { test } from "./harness/scene.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

// An edge in which there is something of everything, and names that are too long.
async function crowded(scene) {
  const port = await echoTarget(scene);
  const groups = { chat: [port, 1, 2], ["a-name-without-a-place-to-break-".repeat(4)]: [port] };
  const edge = await Edge.start(scene, configuration(groups));
  const address = `${edge.admin}/api/v1/targetgroups/chat/targets/127.0.0.1`;
  await fetch(`${address}:1`, { method: "PATCH", body: JSON.stringify({ maintenance: true }) });
  await fetch(`${address}:2`, { method: "PATCH", body: JSON.stringify({ drain: true }) });
  const gone = await edge.client();
  gone.close(1000);
  await edge.logged("a tunnel that is over", ({ closeReason }) => closeReason === "client_closed");
  await edge.client(`/${"a-long-path/".repeat(40)}`, { "X-Forwarded-For": "2001:db8:1111:2222:3333:4444:5555:6666" });
  await edge.client("/1");
  return edge;
}

async function whole(page) {
  await page.locator("#closed").getByText("client_closed").waitFor();
  await eventually("two tunnels are listed", async () => (await page.locator("#tunnel-rows tr").count()) === 2);
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing wrong, ${colorScheme}`, async scene => {
    const edge = await crowded(scene);
    for (const width of [390, 1280]) {
      const page = await visit(scene, browser, `${edge.admin}/`, { colorScheme, viewport: { width, height: 900 } });
      await whole(page);
      assert.deepEqual(await violations(page), []);
      await page.getByRole("button", { name: /details of tunnel/ }).first().click();
      await page.locator("#tunnel").getByText("● open").waitFor();
      assert.deepEqual(await violations(page), []);
      await page.locator("#tunnel").getByRole("button", { name: "End…" }).click();
      await page.locator("#confirm").waitFor();
      assert.deepEqual(await violations(page), []);
    }
  });
}

test("nothing is wider than the page", async scene => {
  const edge = await crowded(scene);
  for (const width of [360, 768, 1280, 1600]) {
    const page = await visit(scene, browser, `${edge.admin}/`, { viewport: { width, height: 900 } });
    await whole(page);
    assert.equal(await overflows(page), 0, `${width}`);
    // What is cut off cannot be read.
    const cut = await page.evaluate(() => [...document.querySelectorAll(".card.flush, .tile, .charts .card")]
      .filter(card => card.scrollWidth > card.clientWidth).map(card => card.innerText.slice(0, 80)));
    assert.deepEqual(cut, [], `${width}`);
  }
});

test("everything can be done with the keyboard alone", async scene => {
  const edge = await Edge.start(scene, configuration({ chat: [await echoTarget(scene)] }));
  const page = await visit(scene, browser, `${edge.admin}/`);
  const socket = await edge.client();
  await page.locator("#tunnel-rows tr").waitFor();
  const focused = () => page.evaluate(() => document.activeElement.innerText ?? "");
  const tabTo = async words => {
    for (let step = 0; step < 60; step += 1) {
      await page.keyboard.press("Tab");
      if (words.test(await focused())) return;
    }
    assert.fail(`the focus never comes to ${words}`);
  };
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the figures");
  await tabTo(/^Maintenance…/);
  await page.keyboard.press("Enter");
  await page.locator("#confirm").waitFor();
  assert.equal(await focused(), "Cancel");
  await page.keyboard.press("Escape");
  await page.locator("#confirm").waitFor({ state: "hidden" });
  assert.match(await focused(), /^Maintenance…/);
  assert.equal((await edge.status()).targetGroups[0].targets[0].maintenance, false);
  await page.keyboard.press("Enter");
  await tabTo(/^Take it out/);
  await page.keyboard.press("Enter");
  await page.getByText("maintenance, by hand").waitFor();
  await tabTo(/^End…/);
  await page.keyboard.press("Enter");
  await tabTo(/^End it/);
  await page.keyboard.press("Enter");
  await eventually("the tunnel is over", () => socket.readyState === 3);
});

test("a thousand targets and a hundred rules do not make it slow", async scene => {
  const targets = Array.from({ length: 50 }, (_, place) => 1000 + place);
  const groups = Object.fromEntries(Array.from({ length: 20 }, (_, place) => [`group ${place}`, targets]));
  const rules = Array.from({ length: 80 }, (_, place) => `      - {name: rule ${place}, type: FORWARD, targetGroup: group 1}\n`);
  const text = configuration(groups).replace("targetGroups:\n", `${rules.join("")}targetGroups:\n`);
  const edge = await Edge.start(scene, text);
  const page = await visit(scene, browser, `${edge.admin}/`);
  await page.getByRole("heading", { name: "group 7" }).waitFor();
  assert.equal(await page.getByRole("heading", { name: "group 8" }).count(), 0);
  const rows = count => eventually(`${count} rows`, async () => (await page.locator("#groups tbody tr").count()) === count);
  await rows(8 * 20);
  await page.getByRole("button", { name: "Show 20 more of 50 targets" }).first().click();
  await rows(9 * 20);
  await page.getByLabel("Filter target groups and targets").fill("group 19");
  await page.getByRole("heading", { name: "group 19" }).waitFor();
  await rows(20);
  await page.getByRole("button", { name: /^Show 12 more of 100 HTTP rules/ }).click();
  // How long the page was busy for with figures, each time at the longest; the middle one of some, as others use the machine, too.
  const busy = await page.evaluate(() => new Promise(resolve => {
    const times = [];
    let tasks = [];
    new PerformanceObserver(list => tasks.push(...list.getEntries())).observe({ entryTypes: ["longtask"] });
    const watch = new MutationObserver(() => {
      times.push(Math.max(0, ...tasks.map(task => task.duration)));
      tasks = [];
      if (times.length < 7) return;
      watch.disconnect();
      resolve(times.sort((a, b) => a - b)[3]);
    });
    watch.observe(document.querySelector(".spark polyline"), { attributes: true });
  }));
  assert.ok(busy < 200, `${busy} ms`);
});
