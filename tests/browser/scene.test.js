// What the tests say when they fail.

import assert from "node:assert/strict";

import { shortened, test } from "./harness/scene.js";

test("a failure is told in a few lines, of which none is endless", () => {
  const failure = shortened(new Error(`${"a line\n".repeat(18_000)}${"x".repeat(10_000)}`));
  for (const text of [failure.message, failure.stack]) {
    const lines = text.split("\n");
    assert.equal(lines.length, 60);
    assert.ok(lines.some(line => /^… \d+ lines …$/.test(line)));
    assert.ok(lines.every(line => line.length < 700));
  }
});
