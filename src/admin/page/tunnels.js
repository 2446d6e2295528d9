// The open tunnels: a search, a page of what it finds, one of them as it lives, and their end.

const pageSize = isNarrow() ? 8 : 25;
const mostOffered = 500;
// What is searched for, and the cursors of the pages up to the one that is shown.
let filters = {};
let cursors = [];
let nextCursor = null;
let isReadOnly = true;
let loading;
// The one whose dialog is open.
let watched;

function query(parameters) {
  const text = new URLSearchParams(parameters).toString();
  return text && `?${text}`;
}

function isFiltered() {
  return Object.keys(filters).length > 0;
}

// Loads the page that is shown; while it loads, a second time is left out, unless something else is searched for.
async function loadTunnels() {
  const wanted = { ...filters, limit: pageSize };
  if (isFiltered()) wanted.count = true;
  if (cursors.length > 0) wanted.cursor = cursors.at(-1);
  const path = `api/v1/tunnels${query(wanted)}`;
  if (loading === path) return;
  loading = path;
  try {
    const page = await ask("GET", path);
    if (loading !== path) return;
    show(byId("search-error"), false);
    if (page.tunnels.length > 0 || cursors.length === 0) return showTunnels(page);
    // All that were on this page are over.
    cursors.pop();
    loadTunnels();
  } catch (error) {
    // That nobody answers is told elsewhere.
    if (loading === path && error.status !== 0) showSearchError(error);
  } finally {
    if (loading === path) loading = undefined;
  }
}

function showSearchError(error) {
  write(byId("search-error"), error.message);
  show(byId("search-error"), true);
  showTunnels({ tunnels: [], next: null, total: 0, matching: 0 });
  show(byId("tunnels-none"), false);
}

function showTunnels({ tunnels, next, total, matching }) {
  nextCursor = next;
  keep(byId("tunnel-rows"), tunnels, ({ id }) => id, makeTunnel, updateTunnel);
  const all = Math.max(matching ?? total, tunnels.length);
  const place = tunnels.length > 0 ? `${count(tunnels.length)} of ${count(all)}, page ${count(cursors.length + 1)}` : "";
  write(byId("pages-place"), place);
  write(byId("tunnels-caption"), isFiltered() ? "Open tunnels that match, the oldest first" : "Open tunnels, the oldest first");
  write(byId("tunnels-none"), isFiltered() ? "No open tunnel matches." : "No tunnel is open.");
  show(byId("tunnels-none"), tunnels.length === 0);
  byId("pages-back").disabled = cursors.length === 0;
  byId("pages-next").disabled = next === null;
  const endAll = byId("end-all");
  show(endAll, isFiltered() && !isReadOnly);
  endAll.disabled = !matching;
  write(endAll, `End all ${count(matching ?? 0)} that match…`);
}

function makeTunnel(tunnel) {
  const { id } = tunnel;
  const client = make("button", { type: "button", class: "link", onclick: () => openTunnel(id) }, clientOf(tunnel));
  client.append(make("span", { class: "hidden" }, `: details of tunnel ${id}`));
  const fixed = (label, text, ...classes) => {
    const place = cell(label, ...classes);
    place.append(text);
    return place;
  };
  const parts = {
    age: cell("Age", "number"), idle: cell("Idle", "number"),
    bytesIn: cell("Bytes in", "number"), bytesOut: cell("Bytes out", "number"), actions: cell("", "actions"),
  };
  const row = make("tr", {},
    make("th", { scope: "row", role: "rowheader" }, client), fixed("Rule", tunnel.forwardingRule),
    fixed("Target", `${tunnel.target} (${tunnel.targetGroup})`), fixed("Request", tunnel.requestUri, "uri"),
    ...Object.values(parts));
  if (!isReadOnly) parts.actions.append(button("End…", `tunnel ${id}`, () => askEnd(id), true));
  row.parts = parts;
  return row;
}

function clientOf({ clientIp, clientPort }) {
  const host = clientIp.includes(":") ? `[${clientIp}]` : clientIp;
  return clientPort === undefined ? clientIp : `${host}:${clientPort}`;
}

function updateTunnel({ parts }, { openMs, idleMs, bytesIn, bytesOut }) {
  write(parts.age, duration(openMs / 1000));
  write(parts.idle, duration(idleMs / 1000));
  write(parts.bytesIn, bytes(bytesIn));
  write(parts.bytesOut, bytes(bytesOut));
}

// The rules, groups and targets that there are, to choose from.
function offerNames({ forwardingRules, targetGroups }) {
  const offers = {
    "offered-rules": forwardingRules.map(({ name }) => name),
    "offered-groups": targetGroups.map(({ name }) => name),
    "offered-targets": targetGroups.flatMap(({ targets }) => targets.map(({ address }) => address)),
  };
  for (const [id, names] of Object.entries(offers)) {
    const some = [...new Set(names)].slice(0, mostOffered);
    keep(byId(id), some, name => name, name => make("option", { value: name }), () => {});
  }
}

function searchFields() {
  return [...byId("search").querySelectorAll("input")];
}

function searchFor(wanted) {
  for (const field of searchFields()) field.value = wanted[field.dataset.filter] ?? "";
  search();
  byId("tunnels-title").scrollIntoView();
}

function search() {
  const given = searchFields().map(({ dataset, value }) => [dataset.filter, value.trim()]);
  filters = Object.fromEntries(given.filter(([, value]) => value !== ""));
  cursors = [];
  loadTunnels();
}

const ends = "a Close frame goes to both sides, and the log says killed";

function askEnd(id) {
  confirmFirst({
    title: "End a tunnel",
    text: `1 tunnel of ${nodeName()} is ended, ${id}: ${ends}.`,
    verb: "End it",
    run: async () => {
      await ask("DELETE", `api/v1/tunnels/${encodeURIComponent(id)}`);
      loadTunnels();
      return `Tunnel ${id} ends`;
    },
  });
}

async function askEndAll() {
  const wanted = { ...filters };
  const counted = await ask("GET", `api/v1/tunnels${query({ ...wanted, limit: 1, count: true })}`).catch(() => undefined);
  const many = counted ? plural(counted.matching, "tunnel") : "All tunnels that match";
  const what = Object.entries(wanted).map(([name, value]) => `${name} ${value}`).join(", ");
  confirmFirst({
    title: "End all that match",
    text: `${many} (${what}) of ${nodeName()}, and those that match by then, are ended: ${ends}.`,
    verb: "End them",
    run: async () => {
      const { ended } = await ask("DELETE", `api/v1/tunnels${query(wanted)}`);
      loadTunnels();
      return `${plural(ended, "tunnel")} ended`;
    },
  });
}

function openTunnel(id) {
  const dialog = byId("tunnel");
  const facts = byId("tunnel-facts");
  facts.replaceChildren();
  facts.known = undefined;
  write(byId("tunnel-title"), `Tunnel ${id}`);
  write(byId("tunnel-state"), "");
  show(byId("tunnel-end"), false);
  byId("tunnel-end").onclick = () => askEnd(id);
  dialog.showModal();
  byId("tunnel-close").focus();
  const tunnel = { id, timer: setInterval(() => look(tunnel), 1000) };
  watched = tunnel;
  dialog.addEventListener("close", () => clearInterval(tunnel.timer), { once: true });
  look(tunnel);
}

// Looks at the tunnel again; what comes after its dialog was closed is not shown in that of another.
async function look(tunnel) {
  if (tunnel.isAskedFor || document.hidden) return;
  tunnel.isAskedFor = true;
  const isShown = () => watched === tunnel && byId("tunnel").open;
  try {
    const now = await ask("GET", `api/v1/tunnels/${encodeURIComponent(tunnel.id)}`);
    if (isShown()) showTunnel(now, tunnel.last);
    tunnel.last = now;
  } catch (error) {
    if (error.status === 404) clearInterval(tunnel.timer);
    if (isShown()) showNoTunnel(error);
  }
  tunnel.isAskedFor = false;
}

function showTunnel(tunnel, last) {
  showFacts(byId("tunnel-facts"), tunnel, last);
  write(byId("tunnel-state"), "● open");
  show(byId("tunnel-end"), !isReadOnly);
}

function showNoTunnel(error) {
  const isOver = error.status === 404;
  if (isOver) show(byId("tunnel-end"), false);
  write(byId("tunnel-state"), isOver ? "○ It has ended; these were its last figures." : `▲ ${error.message}`);
}

function showFacts(list, tunnel, last) {
  const seconds = last && (tunnel.openMs - last.openMs) / 1000;
  const rate = name => (seconds > 0 ? `, ${bytes((tunnel[name] - last[name]) / seconds)}/s` : "");
  const facts = [
    ["Client", clientOf(tunnel)],
    ["Forwarding rule", tunnel.forwardingRule],
    ["Target", `${tunnel.target} of ${tunnel.targetGroup}`],
    ["Request", tunnel.requestUri],
    ["Since", utc(tunnel.startTime)],
    ["Age", duration(tunnel.openMs / 1000)],
    ["Idle", duration(tunnel.idleMs / 1000)],
    ["From the client", `${count(tunnel.bytesIn)} bytes, ${plural(tunnel.framesIn, "frame")}${rate("bytesIn")}`],
    ["To the client", `${count(tunnel.bytesOut)} bytes, ${plural(tunnel.framesOut, "frame")}${rate("bytesOut")}`],
  ];
  const create = ([name]) => make("div", {}, make("dt", {}, name), make("dd"));
  keep(list, facts, ([name]) => name, create, (element, [, text]) => write(element.lastElementChild, text));
}

function startTunnels() {
  byId("search").addEventListener("submit", event => {
    event.preventDefault();
    search();
  });
  // The fields are emptied after the event.
  byId("search").addEventListener("reset", () => setTimeout(search));
  byId("end-all").addEventListener("click", askEndAll);
  byId("pages-back").addEventListener("click", () => {
    cursors.pop();
    loadTunnels();
  });
  byId("pages-next").addEventListener("click", () => {
    if (nextCursor !== null) cursors.push(nextCursor);
    // It leads to the next page once.
    nextCursor = null;
    loadTunnels();
  });
  byId("tunnel-close").addEventListener("click", () => byId("tunnel").close());
}
