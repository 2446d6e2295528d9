// Target groups and their targets, and what an operator decides about them.

const groupStep = isNarrow() ? 3 : 8;
const targetStep = isNarrow() ? 5 : 20;
const standings = {
  healthy: ["●", "good"],
  unhealthy: ["▲", "bad"],
  ejected: ["▲", "bad"],
  draining: ["◐", "warn"],
  maintenance: ["■", "warn"],
  "weight 0": ["○", "warn"],
};
let shownGroups = groupStep;
let groupsStatus;

function standing(target) {
  if (target.drain) return "draining";
  if (target.maintenance) return "maintenance";
  if (!target.healthy) return "unhealthy";
  if (target.ejected) return "ejected";
  if (target.weight === 0) return "weight 0";
  return "healthy";
}

function showGroups(status) {
  groupsStatus = status;
  const wanted = byId("groups-filter").value.trim().toLowerCase();
  const matches = group => ({
    group,
    targets: group.name.toLowerCase().includes(wanted)
      ? group.targets
      : group.targets.filter(({ address, host = "" }) => `${address} ${host}`.toLowerCase().includes(wanted)),
  });
  const found = status.targetGroups.map(matches).filter(({ targets }) => targets.length > 0);
  const shown = cap(byId("groups-more"), found, shownGroups, groupStep, "group");
  keep(byId("groups"), shown, ({ group }) => group.name, makeGroup, updateGroup);
  show(byId("groups-none"), found.length === 0);
  write(byId("groups-none"), wanted ? "No group and no target has this in its name." : "There are no target groups.");
}

function makeGroup({ group }) {
  const article = make("article", { class: "card flush" });
  const more = make("button", { type: "button", class: "more", onclick: () => {
    article.shown += targetStep;
    showGroups(groupsStatus);
  } });
  const columns = make("tr", {},
    heading("Target"), heading("State"), heading("Tunnels"), heading("Weight", "number"), heading("Checks"),
    heading(make("span", { class: "hidden" }, "What to do")));
  const table = make("table", {},
    make("caption", {}, make("span", { class: "hidden" }, `Targets of ${group.name}`)),
    make("thead", {}, columns), make("tbody"));
  const about = make("p", { class: "muted" });
  article.append(make("div", { class: "head" }, make("h3", {}, group.name), about), table, more);
  return Object.assign(article, { shown: targetStep, more, about, body: table.querySelector("tbody") });
}

function updateGroup(article, { group, targets }) {
  const open = group.targets.reduce((sum, target) => sum + target.openTunnels, 0);
  const most = group.targets.reduce((most, target) => Math.max(most, target.openTunnels), 0);
  const ready = group.targets.filter(target => standing(target) === "healthy").length;
  const fit = `${count(ready)} of ${plural(group.targets.length, "target")} healthy and in use`;
  write(article.about, `${group.algorithm} · ${fit} · ${plural(open, "tunnel")}`);
  const shown = cap(article.more, targets, article.shown, targetStep, "target");
  const keyed = shown.map(target => ({ group: group.name, target, most }));
  keep(article.body, keyed, ({ target }) => target.address, makeTarget, updateTarget);
}

function makeTarget({ group, target: { address, host } }) {
  const row = make("tr");
  const search = () => searchFor({ targetGroup: group, target: address });
  const tunnels = make("button", { type: "button", class: "link", onclick: search });
  const parts = {
    state: cell("State", "words"), tunnels, bar: makeBar(), weight: cell("Weight", "number"), checks: cell("Checks", "words"),
    actions: cell("", "actions"),
  };
  const open = cell("Tunnels", "measure");
  open.append(tunnels, parts.bar);
  row.append(make("th", { scope: "row", role: "rowheader", class: "address" }, address,
    host && make("div", { class: "muted small" }, host)), parts.state, open, parts.weight, parts.checks, parts.actions);
  row.parts = parts;
  return row;
}

function updateTarget(row, { group, target, most }) {
  const { state, tunnels, bar, weight, checks, actions } = row.parts;
  showStanding(state, target);
  write(tunnels, count(target.openTunnels));
  const label = `${plural(target.openTunnels, "tunnel")} of ${target.address}: search for them`;
  if (tunnels.getAttribute("aria-label") !== label) tunnels.setAttribute("aria-label", label);
  setBar(bar, target.openTunnels, most);
  write(weight, `${target.weight}${target.override?.weight != null ? " *" : ""}`);
  write(checks, checksText(target));
  showTargetActions(actions, group, target);
}

function showStanding(place, target) {
  const word = standing(target);
  const [sign, look] = standings[word] ?? ["●", "muted"];
  const more = [
    target.ejected && `until ${utc(target.ejected.until)}`,
    target.slowStarting && `slow start at ${count(100 * target.slowStarting)} %`,
    target.override && "by hand",
  ];
  const text = [`${sign}\u00a0${word}`, ...more.filter(Boolean)].join(", ");
  write(place, text);
  setClass(place, `words ${look}`);
}

function checksText({ healthCheck, lastCheck }) {
  if (!healthCheck.enabled) return "none";
  const failed = healthCheck.failed > 0 ? `${count(healthCheck.failed)} failed` : "none failed";
  if (!lastCheck) return `${count(healthCheck.passed)} passed, ${failed}`;
  const why = lastCheck.reason ? `: ${lastCheck.reason}` : "";
  return `${lastCheck.result ?? ""}${why}, ${utc(lastCheck.time)}`;
}

// The buttons change only with what there is to do, so that none goes away under a finger.
function showTargetActions(place, group, target) {
  const { address } = target;
  const canDo = groupsStatus.readOnly ? "" : target.drain ? "back" : target.maintenance ? "drain back" : "maintenance drain";
  if (place.dataset.canDo === canDo) return;
  place.dataset.canDo = canDo;
  const buttons = {
    maintenance: () => button("Maintenance…", address, () => askMaintenance(group, address)),
    drain: () => button("Drain…", address, () => askTargetDrain(group, address), true),
    back: () => button("Bring back…", address, () => askBack(group, address)),
  };
  const had = place.contains(document.activeElement);
  place.replaceChildren(...canDo.split(" ").filter(Boolean).map(name => buttons[name]()));
  if (had) place.firstElementChild?.focus();
}

function openTunnels(group, address) {
  const found = groupsStatus.targetGroups.find(({ name }) => name === group);
  return plural(found?.targets.find(target => target.address === address)?.openTunnels ?? 0, "tunnel");
}

async function decide(group, address, change, outcome) {
  await ask("PATCH", `api/v1/targetgroups/${encodeURIComponent(group)}/targets/${encodeURIComponent(address)}`, change);
  return `${address} of ${group} ${outcome}`;
}

const untilReload = "This holds until the next reload or upgrade.";

function askMaintenance(group, address) {
  confirmFirst({
    title: `Maintenance of ${address}`,
    text: `The target of ${group} takes nothing new; its ${openTunnels(group, address)} stay open. ${untilReload}`,
    verb: "Take it out",
    danger: false,
    run: () => decide(group, address, { maintenance: true }, "is in maintenance"),
  });
}

function askTargetDrain(group, address) {
  confirmFirst({
    title: `Drain ${address}`,
    text: `The target of ${group} takes nothing new, and its ${openTunnels(group, address)} are ended, spread over ` +
      `server.drain.deadline. Their clients have to connect again. ${untilReload}`,
    verb: "Drain it",
    run: () => decide(group, address, { drain: true }, "is drained"),
  });
}

function askBack(group, address) {
  confirmFirst({
    title: `Bring ${address} back`,
    text: `The target of ${group} takes new tunnels and requests again; its ${openTunnels(group, address)} stay open. ${untilReload}`,
    verb: "Bring it back",
    danger: false,
    run: () => decide(group, address, { maintenance: false }, "is back"),
  });
}

function startTargets() {
  byId("groups-filter").addEventListener("input", () => {
    shownGroups = groupStep;
    if (groupsStatus) showGroups(groupsStatus);
  });
  byId("groups-more").addEventListener("click", () => {
    shownGroups += groupStep;
    showGroups(groupsStatus);
  });
}
