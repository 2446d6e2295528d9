// Forwarding rules with their listeners, and their HTTP rules with how many requests met them.

const ruleStep = isNarrow() ? 3 : 8;
const httpRuleStep = isNarrow() ? 5 : 12;
let shownRules = ruleStep;
let rulesStatus;

function showRules(status) {
  rulesStatus = status;
  const wanted = byId("rules-filter").value.trim().toLowerCase();
  const matches = rule => ({
    rule,
    httpRules: `${rule.name} ${rule.listen}`.toLowerCase().includes(wanted)
      ? rule.httpRules
      : rule.httpRules.filter(httpRule => `${httpRule.name} ${groupsOf(httpRule)}`.toLowerCase().includes(wanted)),
  });
  const found = status.forwardingRules.map(matches).filter(({ rule, httpRules }) => httpRules.length > 0 || rule.name.toLowerCase().includes(wanted));
  const shown = cap(byId("rules-more"), found, shownRules, ruleStep, "rule");
  const listeners = new Map(status.listeners.map(listener => [listener.forwardingRule, listener]));
  const withListener = shown.map(entry => ({ ...entry, listener: listeners.get(entry.rule.name) }));
  keep(byId("rules"), withListener, ({ rule }) => rule.name, makeRule, updateRule);
  show(byId("rules-none"), found.length === 0);
  write(byId("rules-none"), wanted ? "No rule has this in its name." : "There are no forwarding rules.");
}

function makeRule({ rule }) {
  const article = make("article", { class: "card flush" });
  const more = make("button", { type: "button", class: "more", onclick: () => {
    article.shown += httpRuleStep;
    showRules(rulesStatus);
  } });
  const columns = make("tr", {}, heading("HTTP rule"), heading("Type"), heading("Target group"), heading("Hits"), heading("5xx", "number"));
  const table = make("table", {},
    make("caption", {}, make("span", { class: "hidden" }, `HTTP rules of ${rule.name}`)),
    make("thead", {}, columns), make("tbody"));
  const about = make("p", { class: "muted" });
  article.append(make("div", { class: "head" }, make("h3", {}, rule.name), about), table, more);
  return Object.assign(article, { shown: httpRuleStep, more, about, body: table.querySelector("tbody") });
}

function updateRule(article, { rule, httpRules, listener }) {
  const listens = listener
    ? `● ${listener.address}, ${listener.tls ? "TLS" : "no TLS"}, ${plural(listener.connections, "connection")}`
    : `○ ${rule.listen}, closed`;
  write(article.about, listens);
  const most = rule.httpRules.reduce((most, { hits }) => Math.max(most, hits), rule.unmatched);
  const shown = cap(article.more, httpRules, article.shown, httpRuleStep, "HTTP rule");
  const rows = shown.map(httpRule => ({ ...httpRule, key: `rule ${httpRule.name}`, group: groupsOf(httpRule), most }));
  rows.push({ key: "none", name: "none matched", type: "404", group: "", hits: rule.unmatched, most, serverErrors: rule.serverErrors, latelyServerErrors: rule.latelyServerErrors });
  keep(article.body, rows, ({ key }) => key, makeHttpRule, updateHttpRule);
}

function makeHttpRule({ key, name }) {
  const row = make("tr");
  const hits = make("span", { class: "figure" });
  const parts = { type: cell("Type", "words"), group: cell("Target group"), hits, bar: makeBar(), errors: cell("5xx", "number") };
  const measure = cell("Hits", "measure");
  measure.append(hits, parts.bar);
  const title = make("th", { scope: "row", role: "rowheader", class: key === "none" ? "muted" : null }, name);
  row.append(title, parts.type, parts.group, measure, parts.errors);
  row.parts = parts;
  return row;
}

// Several share what comes, by their weights.
function groupsOf({ targetGroup, targetGroups = [] }) {
  return targetGroup ?? targetGroups.map(({ name, weight }) => `${name} (${weight})`).join(", ");
}

function updateHttpRule(row, { type, group, hits, most, serverErrors = 0, latelyServerErrors = 0 }) {
  write(row.parts.type, type);
  write(row.parts.group, group || "–");
  write(row.parts.hits, count(hits));
  setBar(row.parts.bar, hits, most);
  const lately = latelyServerErrors > 0 ? `, ${count(latelyServerErrors)} in 5\u00a0min` : "";
  write(row.parts.errors, `${count(serverErrors)}${lately}`);
  setClass(row.parts.errors, latelyServerErrors > 0 ? "number warn" : "number");
}

function startRules() {
  byId("rules-filter").addEventListener("input", () => {
    shownRules = ruleStep;
    if (rulesStatus) showRules(rulesStatus);
  });
  byId("rules-more").addEventListener("click", () => {
    shownRules += ruleStep;
    showRules(rulesStatus);
  });
}
