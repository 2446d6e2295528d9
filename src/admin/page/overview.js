// The state of the process, what it does now, and how long the figures are ago.

const oldFigures = 3000;
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
}

// Which node it is; nothing before that is known.
function nodeName() {
  return latest?.status.node ?? "";
}

function showOverview({ status, traffic }) {
  write(byId("version"), status.version);
  write(byId("node"), status.node ?? "");
  showState(status);
  showTitle(status);
  show(byId("read-only"), status.readOnly);
  show(byId("orders"), !status.readOnly);
  showTiles(status, traffic);
  showVitals(status);
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

// The tab tells which node it is, and that something is the matter.
function showTitle({ node, drain, memory }) {
  const isWell = drain.state === "serving" && (memory?.level ?? "ample") === "ample";
  const title = `${isWell ? "" : "▲ "}${node ? `${node} · ` : ""}Culvert`;
  if (document.title !== title) document.title = title;
}

function refusedOf({ refusals = [] }) {
  return refusals.reduce((sum, { total }) => sum + total, 0);
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
    refused: refusedOf(status),
    bytesIn: traffic.bytesIn,
    bytesOut: traffic.bytesOut,
  };
  const last = before?.pid === now.pid && before.at < now.at ? before : undefined;
  before = now;
  if (!last) return undefined;
  const growth = name => Math.max(0, (now[name] - last[name]) / (now.at - last.at));
  const names = ["opened", "closed", "refused", "bytesIn", "bytesOut"];
  return Object.fromEntries(names.map(name => [name, growth(name)]));
}

function sumOf(words) {
  return Object.values(words).reduce((sum, number) => sum + number, 0);
}

// What there is, and what there was: all of one form.
function showTiles(status, traffic) {
  const rated = (title, name, of, figure, sum) => ({
    name: title,
    figure: rate ? `${figure(rate[name])}${figure === bytes ? "/s" : " /s"}` : "–",
    note: `${sum} in all`,
    history: sparkOf(of, rate?.[name]),
  });
  const tiles = [
    { name: "Tunnels", figure: count(status.tunnels), note: besides(status), history: sparkOf(({ tunnels }) => tunnels, status.tunnels) },
    rated("Opened", "opened", rateOf("opened"), perSecond, count(traffic.opened)),
    rated("Closed", "closed", ({ closed, seconds }) => sumOf(closed) / seconds, perSecond, count(closedOf(traffic))),
    rated("Refused", "refused", ({ refused, seconds }) => sumOf(refused) / seconds, perSecond, count(refusedOf(status))),
    rated("From clients", "bytesIn", rateOf("bytesIn"), bytes, bytes(traffic.bytesIn)),
    rated("To clients", "bytesOut", rateOf("bytesOut"), bytes, bytes(traffic.bytesOut)),
  ];
  keep(byId("tiles"), tiles, tile => tile.name, makeTile, (element, tile) => {
    write(element.querySelector(".figure"), tile.figure);
    write(element.querySelector(".note"), tile.note);
    setSparkline(element.querySelector(".spark"), tile.history);
  });
}

function besides({ listeners, oldGenerationTunnels }) {
  const connections = plural(listeners.reduce((sum, listener) => sum + listener.connections, 0), "connection");
  return oldGenerationTunnels > 0 ? `${connections}, + ${count(oldGenerationTunnels)} in old processes` : connections;
}

function makeTile(tile) {
  const figure = make("dd", { class: "figure" });
  const note = make("dd", { class: "note muted" });
  const spark = make("dd", { "aria-hidden": "true" }, makeSparkline());
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
    lastReload?.applied && `last reload at ${utc(lastReload.time)}: applied`,
    overrides > 0 && `${plural(overrides, "target")} otherwise than in the file`,
    oldGenerations.length > 0 && `old processes: ${oldGenerations.join(", ")}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

// A reload that was rejected, until another one is applied.
function showRejection(lastReload) {
  const place = byId("rejection");
  const isRejected = lastReload?.applied === false;
  show(place, isRejected);
  if (!isRejected) return;
  const message = `The last reload, at ${utc(lastReload.time)}, was rejected; nothing has changed.`;
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
