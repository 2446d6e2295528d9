// A test, with what has to be put away after it: what came last goes first.

import nodeTest from "node:test";

export async function scene(run) {
  const ends = [];
  const failures = [];
  const attempt = step => Promise.resolve().then(step).catch(failure => failures.push(failure));
  await attempt(() => run({ after: end => ends.unshift(end) }));
  for (const end of ends) await attempt(end);
  if (failures.length > 0) throw failures[0];
}

export function test(name, run) {
  nodeTest(name, { timeout: 120_000 }, () => scene(run));
}
