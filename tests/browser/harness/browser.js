// Chromium, and pages that tell what went wrong in them: errors, violations of the policy, requests to anywhere else.

import assert from "node:assert/strict";

import { axe, chromium } from "./modules.js";

const patience = 20_000;

export function launch() {
  const executablePath = process.env.CULVERT_CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] });
}

// A page at an address; `expected` are errors in the console that belong to the test.
export async function visit(test, browser, address, { expected = /^$/, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const wrong = [];
  page.on("console", message => {
    const text = message.text();
    if (["error", "warning"].includes(message.type()) && !expected.test(text)) wrong.push(text);
  });
  page.on("pageerror", error => wrong.push(String(error)));
  page.on("request", request => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== new URL(address).origin && protocol !== "data:") wrong.push(`a request to ${request.url()}`);
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", event => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  test.after(async () => {
    await context.close();
    assert.deepEqual(wrong, [], "what went wrong in the page");
  });
  await page.goto(address);
  return page;
}

// Hides a page as a tab in front of it does, or brings it back: Chromium without a screen hides none.
export function setHidden(page, isHidden) {
  return page.evaluate(value => {
    Object.defineProperty(document, "hidden", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
}

// What axe finds wrong with the page as it is.
export async function violations(page) {
  // The policy lets no script in; the debugger's protocol does.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(" ")}`);
}

export function overflows(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
