// Whether the process is well: what it uses of what there is, and what goes wrong unseen.

const stays = { http2: "over HTTP/2", tls: "with TLS by rustls", closing: "closing", waiting: "to be moved" };
const nearFull = 0.85;
const soonExpired = 14;

function lookOf(isBad, isWarning) {
  return isBad ? "bad" : isWarning ? "warn" : "";
}

function partly(name, used, limit, write, note) {
  const part = limit > 0 ? used / limit : 0;
  const figure = limit > 0 ? percent(used, limit) : write(used ?? 0);
  const of = limit > 0 ? `${write(used ?? 0)} of ${write(limit)}` : "no limit is known";
  return { name, figure, note: note || of, look: lookOf(part > 0.95, part > nearFull) };
}

function memoryTile({ memory = {} }) {
  const { usedBytes = 0, limitBytes = 0, level = "ample", resets = 0 } = memory;
  const done = [level !== "ample" && `${level}: ${bytes(usedBytes)} of ${bytes(limitBytes)}`, resets > 0 && `${count(resets)} reset`];
  const tile = partly("Memory", usedBytes, limitBytes, bytes, done.filter(Boolean).join(", "));
  return { ...tile, look: level === "ample" ? tile.look : "bad" };
}

function certificateTile({ certificates = [] }) {
  const [first] = [...certificates].sort((a, b) => a.daysLeft - b.daysLeft);
  if (!first) return { name: "Certificates", figure: "none", note: "no TLS here", look: "" };
  const figure = first.daysLeft < 0 ? "expired" : `${count(first.daysLeft)} d left`;
  const note = `${first.name}${certificates.length > 1 ? `, first of ${count(certificates.length)}` : ""}`;
  return { name: "Certificates", figure, note, look: lookOf(first.daysLeft < 3, first.daysLeft < soonExpired) };
}

function errorsTile({ forwardingRules }) {
  const all = forwardingRules.flatMap(rule => [
    ...rule.httpRules.map(httpRule => ({ name: `${rule.name} / ${httpRule.name}`, number: httpRule.latelyServerErrors ?? 0 })),
    { name: `${rule.name}, no HTTP rule`, number: rule.latelyServerErrors ?? 0 },
  ]);
  const sum = all.reduce((sum, { number }) => sum + number, 0);
  const most = all.reduce((most, one) => (one.number > most.number ? one : most), { number: 0 });
  return { name: "Answers of 5xx", figure: count(sum), note: sum > 0 ? `in 5 min, most by ${most.name}` : "in 5 min", look: lookOf(false, sum > 0) };
}

function oldTile({ oldProcesses = [], oldGenerationTunnels = 0 }) {
  const why = new Map();
  for (const { staying } of oldProcesses) {
    for (const [word, tunnels] of Object.entries(staying)) why.set(word, (why.get(word) ?? 0) + tunnels);
  }
  const words = [...why].map(([word, tunnels]) => `${count(tunnels)} ${stays[word] ?? word}`);
  const held = `${plural(oldGenerationTunnels, "tunnel")}${words.length > 0 ? `: ${words.join(", ")}` : ""}`;
  return { name: "Old processes", figure: count(oldProcesses.length), note: oldProcesses.length > 0 ? held : "nothing stays behind", look: "" };
}

function linesTile({ lostLines = {} }) {
  const { accessLog = 0, diagnostics = 0 } = lostLines;
  const note = diagnostics > 0 ? `${count(diagnostics)} diagnostics left out` : "of the access log";
  return { name: "Lines lost", figure: count(accessLog), note, look: lookOf(accessLog > 0, false) };
}

function vitals(status) {
  const { files = {}, connections = {} } = status;
  return [
    memoryTile(status),
    partly("Files", files.open, files.limit, count),
    partly("Places for clients", connections.open, connections.limit, count),
    errorsTile(status),
    certificateTile(status),
    linesTile(status),
    oldTile(status),
    { name: "Up", figure: duration(status.uptimeSeconds), note: `process ${status.pid}`, look: "" },
  ];
}

function showVitals(status) {
  const create = ({ name }) => make("div", { class: "tile card" }, make("dt", {}, name), make("dd", { class: "figure" }), make("dd", { class: "note muted" }));
  keep(byId("vitals"), vitals(status), tile => tile.name, create, (element, tile) => {
    const [, figure, note] = element.children;
    const sign = { bad: "▲ ", warn: "▲ " }[tile.look] ?? "";
    write(figure, sign + tile.figure);
    setClass(figure, `figure ${tile.look}`);
    write(note, tile.note);
  });
}
