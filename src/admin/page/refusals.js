// Who is refused: by reason in the last minutes, who it is most, and the last of them one by one.

const lately = 5 * 60_000;
const mostRefusals = 1000;
let refusals = [];
let refusalsOf;
let refusalsCount = 0;
let isLoadingRefusals = false;
let refusalsPage = 0;

// Asks for what is new, where there is something.
async function loadRefusals(pid, last) {
  if (refusalsOf !== pid) [refusals, refusalsCount, refusalsOf] = [[], 0, pid];
  if (isLoadingRefusals || !(last > refusalsCount)) return;
  isLoadingRefusals = true;
  try {
    const told = await ask("GET", `api/v1/refusals?since=${refusalsCount}`);
    if (refusalsOf === pid) {
      refusalsCount = told.count;
      refusals = [...told.refusals.reverse(), ...refusals].slice(0, mostRefusals);
      showRefusals();
    }
  } catch {
    // That nobody answers is told elsewhere.
  } finally {
    isLoadingRefusals = false;
  }
}

function wantedRefusals() {
  const text = byId("refusals-filter").value.trim().toLowerCase();
  const words = ({ clientIp, forwardingRule, httpRule = "", reason, hostName = "", requestUri = "", origin = "", error = "" }) =>
    `${clientIp} ${forwardingRule} ${httpRule} ${reason} ${hostName}${requestUri} ${origin} ${error}`.toLowerCase();
  return text ? refusals.filter(refusal => words(refusal).includes(text)) : refusals;
}

function showRefusals() {
  const wanted = wantedRefusals();
  const size = isNarrow() ? 5 : 10;
  const pages = Math.max(1, Math.ceil(wanted.length / size));
  refusalsPage = Math.min(refusalsPage, pages - 1);
  const shown = wanted.slice(refusalsPage * size, (refusalsPage + 1) * size);
  keep(byId("refusal-rows"), shown, ({ number }) => number, makeRefusal, () => {});
  show(byId("refusals-table"), refusals.length > 0);
  show(byId("refusals-none"), wanted.length === 0);
  write(byId("refusals-none"), refusals.length > 0 ? "None of the last ones has this." : "Nobody was refused.");
  write(byId("refusals-place"), wanted.length > 0 ? `${count(wanted.length)}, page ${count(refusalsPage + 1)} of ${count(pages)}` : "");
  show(byId("refusals-pages"), pages > 1);
  byId("refusals-back").disabled = refusalsPage === 0;
  byId("refusals-next").disabled = refusalsPage >= pages - 1;
  showMost();
}

// Who it is most: the clients and the rules of the last five minutes.
function showMost() {
  const since = Date.now() - lately;
  const recent = refusals.filter(({ time }) => Date.parse(time) >= since);
  const most = (of, by, word) => {
    const counts = new Map();
    for (const refusal of recent) counts.set(of(refusal), (counts.get(of(refusal)) ?? 0) + 1);
    const [first] = [...counts].sort((a, b) => b[1] - a[1]);
    return first && `${count(first[1])} ${by} ${first[0]} (${plural(counts.size, word)} in all)`;
  };
  const parts = [
    most(({ clientIp }) => clientIp, "of", "client"),
    most(({ forwardingRule, httpRule }) => (httpRule ? `${forwardingRule} / ${httpRule}` : forwardingRule), "by", "rule"),
  ];
  // There may have been more than are kept.
  const what = recent.length < mostRefusals ? `${plural(recent.length, "refusal")} in 5 min` : `The last ${plural(mostRefusals, "refusal")}`;
  write(byId("refusals-most"), recent.length > 0 ? `${what}: ${parts.join(" · ")}` : "");
}

function makeRefusal(refusal) {
  const { time, forwardingRule, httpRule, reason, httpStatusCode, hostName = "", requestUri = "", origin, error } = refusal;
  const what = [origin && `origin ${origin}`, error, `${hostName}${requestUri}`].filter(Boolean).join(" · ");
  const filled = (label, text, ...classes) => {
    const place = cell(label, ...classes);
    place.append(text);
    return place;
  };
  const client = make("button", { type: "button", class: "link", onclick: () => filterRefusals(refusal.clientIp) }, clientOf(refusal));
  client.append(make("span", { class: "hidden" }, ": refusals of this client"));
  return make("tr", {},
    make("th", { scope: "row", role: "rowheader", class: "time" }, utc(time).replace(" UTC", "")),
    filled("Client", client), filled("Rule", httpRule ? `${forwardingRule} / ${httpRule}` : forwardingRule),
    filled("Reason", reason, "words"), filled("Status", httpStatusCode === undefined ? "none" : String(httpStatusCode), "number"),
    filled("What", what || "–", "what"));
}

function filterRefusals(text) {
  byId("refusals-filter").value = text;
  refusalsPage = 0;
  showRefusals();
}

// By reason, with how many there were lately, and how many a second there are.
function showReasons(reasons = []) {
  const recent = reasons.filter(({ lately }) => lately > 0).sort((a, b) => b.lately - a.lately);
  bars(byId("reasons"), recent.map(({ reason, lately, perSecond: rate }) => ({
    label: reason, value: lately, text: `${count(lately)} · ${perSecond(rate)} /s`,
  })));
  show(byId("reasons-none"), recent.length === 0);
}

function startRefusals() {
  byId("refusals-filter").addEventListener("input", () => {
    refusalsPage = 0;
    showRefusals();
  });
  byId("refusals-back").addEventListener("click", () => {
    refusalsPage -= 1;
    showRefusals();
  });
  byId("refusals-next").addEventListener("click", () => {
    refusalsPage += 1;
    showRefusals();
  });
}
