// A test, with what has to be put away after it: what came last goes first.

import nodeTest from "node:test";

export async function scene(run) {
  const ends = [];
  const failures = [];
  const attempt = step => Promise.resolve().then(step).catch(failure => failures.push(failure));
  await attempt(() => run({ after: end => ends.unshift(end) }));
  for (const end of ends) await attempt(end);
  if (failures.length > 0) throw shortened(failures[0]);
}

// What a failure says in as many lines as can be read, none of them endless.
export function shortened(failure, most = 60) {
  for (const key of ["message", "stack"].filter(key => typeof failure?.[key] === "string")) {
    const lines = failure[key].split("\n").map(line => (line.length > 600 ? `${line.slice(0, 600)} … ${line.length} characters` : line));
    const last = Math.floor(most / 2);
    if (lines.length > most) lines.splice(most - last - 1, lines.length - most + 1, `… ${lines.length - most + 1} lines …`);
    failure[key] = lines.join("\n");
  }
  return failure;
}

export function test(name, run) {
  nodeTest(name, { timeout: 120_000 }, () => scene(run));
}
