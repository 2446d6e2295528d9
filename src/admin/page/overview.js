// The state of the process, what it does now, and how long the figures are ago.

const historyLength = 120;
const oldFigures = 3000;
const tunnelHistory = [];
const bytesHistory = [];
const words = {
  serving: ["● serving", "badge good"],
  starting: ["◌ starting", "badge warn"],
  draining: ["◐ draining", "badge warn"],
};
let before;
let figuresAt;
let lostBecause;

function showOverview({ status, traffic }) {
  figuresAt = performance.now();
  if (lostBecause !== undefined) say("Connected again");
  lostBecause = undefined;
  write(byId("version"), status.version);
  showState(status);
  show(byId("read-only"), status.readOnly);
  show(byId("orders"), !status.readOnly);
  showTiles(status, traffic);
  showCharts(traffic);
  write(byId("configuration"), configurationText(status));
  showLink();
}

function showState({ drain }) {
  const [word, look] = words[drain.state] ?? [drain.state, "badge"];
  const left = drain.state === "draining" ? `, ${count(drain.secondsLeft ?? 0)} s left, ${count(drain.open)} open` : "";
  const state = byId("state");
  if (state.dataset.state !== undefined && state.dataset.state !== drain.state) say(`Culvert is ${drain.state}`);
  state.dataset.state = drain.state;
  write(state, word + left);
  setClass(state, look);
  byId("drain").disabled = drain.state === "draining";
}

// How much a counter grew in a second, since the figures before. Another process begins anew.
function rates(status, traffic) {
  const now = {
    pid: status.pid,
    at: status.uptimeSeconds,
    opened: traffic.opened,
    closed: traffic.closed.reduce((sum, { tunnels }) => sum + tunnels, 0),
    bytesIn: traffic.bytesIn,
    bytesOut: traffic.bytesOut,
  };
  const last = before?.pid === now.pid && before.at < now.at ? before : undefined;
  before = now;
  const rate = name => (last ? Math.max(0, (now[name] - last[name]) / (now.at - last.at)) : 0);
  return { opened: rate("opened"), closed: rate("closed"), bytesIn: rate("bytesIn"), bytesOut: rate("bytesOut") };
}

function remember(history, value) {
  history.push(value);
  if (history.length > historyLength) history.shift();
}

function showTiles(status, traffic) {
  const rate = rates(status, traffic);
  remember(tunnelHistory, status.tunnels);
  remember(bytesHistory, rate.bytesIn + rate.bytesOut);
  const connections = status.listeners.reduce((sum, listener) => sum + listener.connections, 0);
  const tiles = [
    { name: "Tunnels", figure: count(status.tunnels), note: plural(connections, "connection"), history: tunnelHistory },
    { name: "Opened", figure: `${perSecond(rate.opened)} /s`, note: `${count(traffic.opened)} in all` },
    { name: "Closed", figure: `${perSecond(rate.closed)} /s`, note: `${count(before.closed)} in all` },
    { name: "From clients", figure: `${bytes(rate.bytesIn)}/s`, note: `${bytes(traffic.bytesIn)} in all` },
    { name: "To clients", figure: `${bytes(rate.bytesOut)}/s`, note: `${bytes(traffic.bytesOut)} in all`, history: bytesHistory },
    { name: "Up", figure: duration(status.uptimeSeconds), note: `process ${status.pid}` },
  ];
  keep(byId("tiles"), tiles, tile => tile.name, makeTile, (element, tile) => {
    write(element.querySelector(".figure"), tile.figure);
    write(element.querySelector(".note"), tile.note);
    if (tile.history) setSparkline(element.querySelector(".spark"), tile.history);
  });
}

function makeTile(tile) {
  const figure = make("dd", { class: "figure" });
  const note = make("dd", { class: "note muted" });
  const spark = tile.history && make("dd", { "aria-hidden": "true" }, makeSparkline());
  return make("div", { class: "tile card" }, make("dt", {}, tile.name), figure, note, spark);
}

function showCharts({ ages, closed }) {
  const age = ({ belowSeconds, tunnels }, place) => {
    const from = place > 0 ? ages[place - 1].belowSeconds : 0;
    const label = belowSeconds ? `under ${bound(belowSeconds)}` : `${bound(from)} and more`;
    return { label, value: tunnels };
  };
  bars(byId("ages"), ages.map(age));
  const seen = closed.filter(({ tunnels }) => tunnels > 0);
  bars(byId("closed"), seen.map(({ reason, tunnels }) => ({ label: reason, value: tunnels })));
  show(byId("closed-none"), seen.length === 0);
}

function configurationText({ configuration, oldGenerations }) {
  const { path, lastReload, overrides } = configuration;
  const outcome = lastReload?.applied ? "applied" : "rejected";
  const parts = [
    path && `Configuration: ${path}`,
    lastReload && `last reload at ${localTime(lastReload.time)}: ${outcome}`,
    overrides > 0 && `${plural(overrides, "target")} otherwise than in the file`,
    oldGenerations.length > 0 && `old processes that still hold tunnels: ${oldGenerations.join(", ")}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

function showLost(reason) {
  lostBecause = reason;
  showLink();
}

// Whether figures come, and how old those are that are shown.
function showLink() {
  const age = figuresAt === undefined ? undefined : performance.now() - figuresAt;
  const isLost = lostBecause !== undefined || (age ?? 0) > oldFigures;
  const old = age === undefined ? "no figures yet" : `figures of ${duration(age / 1000)} ago`;
  const link = byId("link");
  write(link, isLost ? `▲ connection lost, ${old}` : age === undefined ? "connecting…" : "● live");
  setClass(link, isLost ? "badge bad" : age === undefined ? "badge" : "badge good");
  document.body.classList.toggle("stale", isLost);
  const lost = byId("lost");
  show(lost, lostBecause !== undefined);
  write(lost, lostBecause === undefined ? "" : `Connection lost: ${lostBecause}. Trying again.`);
}
