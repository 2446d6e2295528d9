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
let rate;
let figuresAt;
let lostBecause;
let isConnecting = true;

// Takes note of figures that have just come, whether they are shown or not.
function arrived({ status, traffic }) {
  figuresAt = performance.now();
  if (lostBecause !== undefined) say("Connected again");
  lostBecause = undefined;
  isConnecting = false;
  rate = rates(status, traffic);
  remember(tunnelHistory, status.tunnels);
  if (rate) remember(bytesHistory, rate.bytesIn + rate.bytesOut);
}

function showOverview({ status, traffic }) {
  write(byId("version"), status.version);
  showState(status);
  show(byId("read-only"), status.readOnly);
  show(byId("orders"), !status.readOnly);
  showTiles(status, traffic);
  showCharts(traffic);
  write(byId("configuration"), configurationText(status));
  showRejection(status.configuration.lastReload);
  showLink();
}

function showState({ drain, memory }) {
  const [word, look] = words[drain.state] ?? [drain.state, "badge"];
  const left = drain.state === "draining" ? `, ${count(drain.secondsLeft ?? 0)} s left, ${count(drain.open)} open` : "";
  const level = memory?.level ?? "ample";
  const short = level === "ample" ? "" : `, short of memory (${level})`;
  const state = byId("state");
  if (state.dataset.state !== undefined && state.dataset.state !== drain.state) say(`Culvert is ${drain.state}`);
  state.dataset.state = drain.state;
  write(state, word + left + short);
  setClass(state, look);
  byId("drain").disabled = drain.state === "draining";
}

function closedOf(traffic) {
  return traffic.closed.reduce((sum, { tunnels }) => sum + tunnels, 0);
}

// How much a counter grew in a second, since the figures before; not known where those are of another process, or of long ago.
function rates(status, traffic) {
  const now = {
    pid: status.pid,
    at: status.uptimeSeconds,
    opened: traffic.opened,
    closed: closedOf(traffic),
    bytesIn: traffic.bytesIn,
    bytesOut: traffic.bytesOut,
  };
  const last = before?.pid === now.pid && before.at < now.at ? before : undefined;
  before = now;
  if (!last) return undefined;
  const growth = name => Math.max(0, (now[name] - last[name]) / (now.at - last.at));
  return { opened: growth("opened"), closed: growth("closed"), bytesIn: growth("bytesIn"), bytesOut: growth("bytesOut") };
}

function remember(history, value) {
  history.push(value);
  if (history.length > historyLength) history.shift();
}

function showTiles(status, traffic) {
  const tunnelRate = name => (rate ? `${perSecond(rate[name])} /s` : "–");
  const byteRate = name => (rate ? `${bytes(rate[name])}/s` : "–");
  const tiles = [
    { name: "Tunnels", figure: count(status.tunnels), note: besides(status), history: tunnelHistory },
    { name: "Opened", figure: tunnelRate("opened"), note: `${count(traffic.opened)} in all` },
    { name: "Closed", figure: tunnelRate("closed"), note: `${count(closedOf(traffic))} in all` },
    { name: "From clients", figure: byteRate("bytesIn"), note: `${bytes(traffic.bytesIn)} in all` },
    { name: "To clients", figure: byteRate("bytesOut"), note: `${bytes(traffic.bytesOut)} in all`, history: bytesHistory },
    { name: "Up", figure: duration(status.uptimeSeconds), note: `process ${status.pid}` },
  ];
  keep(byId("tiles"), tiles, tile => tile.name, makeTile, (element, tile) => {
    write(element.querySelector(".figure"), tile.figure);
    write(element.querySelector(".note"), tile.note);
    if (tile.history) setSparkline(element.querySelector(".spark"), tile.history);
  });
}

function besides({ listeners, oldGenerationTunnels }) {
  const connections = plural(listeners.reduce((sum, listener) => sum + listener.connections, 0), "connection");
  return oldGenerationTunnels > 0 ? `${connections}, + ${count(oldGenerationTunnels)} in old processes` : connections;
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
  const parts = [
    path && `Configuration: ${path}`,
    lastReload?.applied && `last reload at ${localTime(lastReload.time)}: applied`,
    overrides > 0 && `${plural(overrides, "target")} otherwise than in the file`,
    oldGenerations.length > 0 && `old processes that still hold tunnels: ${oldGenerations.join(", ")}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

// A reload that was rejected, until another one is applied.
function showRejection(lastReload) {
  const place = byId("rejection");
  const isRejected = lastReload?.applied === false;
  show(place, isRejected);
  if (!isRejected) return;
  const message = `The last reload, at ${localTime(lastReload.time)}, was rejected; nothing has changed.`;
  if (place.dataset.message === message) return;
  place.dataset.message = message;
  showError(place, { message, problems: lastReload.problems });
}

function showLost(reason) {
  lostBecause = reason;
  showLink();
}

// No figures come while nobody looks; what they grew by meanwhile is no rate.
function showRest() {
  isConnecting = true;
  before = undefined;
  showLink();
}

// Whether figures come, and how old those are that are shown.
function showLink() {
  const age = figuresAt === undefined ? undefined : performance.now() - figuresAt;
  const isLost = lostBecause !== undefined || (!isConnecting && age > oldFigures);
  const old = age === undefined ? "no figures yet" : `figures of ${duration(age / 1000)} ago`;
  const link = byId("link");
  const connecting = age === undefined ? "connecting…" : `connecting…, ${old}`;
  write(link, isLost ? `▲ connection lost, ${old}` : isConnecting ? connecting : "● live");
  setClass(link, isLost ? "badge bad" : isConnecting ? "badge" : "badge good");
  document.body.classList.toggle("stale", isLost || isConnecting);
  const lost = byId("lost");
  show(lost, lostBecause !== undefined);
  write(lost, lostBecause === undefined ? "" : `Connection lost: ${lostBecause}. Trying again.`);
}
