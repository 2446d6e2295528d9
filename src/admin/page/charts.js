// The last fifteen minutes, drawn: lines over time, and beside each what it is now, or was where the pointer is.

const chartSpan = 15 * 60_000;
const chartStep = 5 * 60_000;
const chartWidth = 600;
const chartHeight = 120;
// How many lines a chart has; what is less is drawn together.
const mostLines = 5;
const refresh = 5000;
const sparkLength = 180;

let samples = [];
let samplesOf;
let isLoadingHistory = false;
let pointedAt;

const rateOf = name => sample => sample[name] / sample.seconds;
const both = (names, of) => names.map(([name, key]) => ({ name, of: of(key) }));

const charts = [
  { key: "open", title: "Open tunnels", by: "by target group", unit: count, lines: () => byKey(sample => groupsIn(sample), 1) },
  {
    key: "moves", title: "Tunnels opened and closed", by: "a second, by reason", unit: perSecond,
    lines: () => [{ name: "opened", of: rateOf("opened") }, ...byKey(sample => sample.closed, 0, mostLines - 1)],
  },
  {
    key: "handshakes", title: "Handshakes", by: "from the request to the 101", unit: milliseconds, isSparse: true,
    lines: () => both([["half took at most", "handshakeMedianMs"], ["99 of 100", "handshakeP99Ms"]], key => sample => sample[key]),
  },
  { key: "refused", title: "Refusals", by: "a second, by reason", unit: perSecond, lines: () => byKey(sample => sample.refused, 0) },
  { key: "errors", title: "Answers of 5xx", by: "a second", unit: perSecond, lines: () => [{ name: "5xx", of: rateOf("serverErrors") }] },
  {
    key: "bytes", title: "Bytes", by: "a second", unit: bytes, isBinary: true,
    lines: () => both([["to clients", "bytesOut"], ["from clients", "bytesIn"]], rateOf),
  },
];

function groupsIn({ groups }) {
  return Object.fromEntries(groups.map(({ name, tunnels }) => [name, tunnels]));
}

// A line for each of the words that occur most, and one for all others. What is a level is not taken by the second.
function byKey(wordsIn, isLevel, most = mostLines) {
  const sums = new Map();
  for (const sample of samples) {
    for (const [word, value] of Object.entries(wordsIn(sample))) sums.set(word, (sums.get(word) ?? 0) + value);
  }
  const sorted = [...sums.keys()].sort((a, b) => sums.get(b) - sums.get(a));
  const own = sorted.slice(0, sorted.length > most ? most - 1 : most);
  const value = (sample, number) => (isLevel ? number : number / sample.seconds);
  const lines = own.map(name => ({ name, of: sample => value(sample, wordsIn(sample)[name] ?? 0) }));
  if (sorted.length > own.length) {
    const rest = sample => Object.entries(wordsIn(sample)).reduce((sum, [word, number]) => (own.includes(word) ? sum : sum + number), 0);
    lines.push({ name: "others", of: sample => value(sample, rest(sample)) });
  }
  return lines;
}

// Asks for what is new; what another process has remembered is not its successor's.
async function loadHistory(pid) {
  if (isLoadingHistory || document.hidden) return;
  isLoadingHistory = true;
  if (samplesOf !== pid) samples = [];
  samplesOf = pid;
  const last = samples.at(-1)?.number;
  try {
    const told = await ask("GET", `api/v1/history${last === undefined ? "" : `?since=${last}`}`);
    if (samplesOf === pid) {
      samples = [...samples, ...told.samples].slice(-told.kept);
      showChartsOver();
    }
  } catch {
    // That nobody answers is told elsewhere.
  } finally {
    isLoadingHistory = false;
  }
}

function showChartsOver() {
  const end = samples.length > 0 ? Date.parse(samples.at(-1).time) : Date.now();
  keep(byId("lines"), charts, ({ key }) => key, makeChart, (element, chart) => drawChart(element, chart, end));
}

function svgElement(name, attributes = {}) {
  const element = document.createElementNS(svgNames, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function makeChart(chart) {
  const svg = svgElement("svg", { viewBox: `0 0 ${chartWidth} ${chartHeight}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const parts = {
    grid: svgElement("g", { class: "grid" }), lines: svgElement("g"), cursor: svgElement("path", { class: "cursor" }),
    most: make("span", { class: "most" }), times: make("div", { class: "times", "aria-hidden": "true" }), legend: make("ul", { class: "legend" }),
    when: make("span", { class: "muted when" }),
  };
  svg.append(parts.grid, parts.lines, parts.cursor);
  const plot = make("div", { class: "plot" }, svg, parts.most);
  const point = event => {
    const { left, width } = plot.getBoundingClientRect();
    pointedAt = { key: chart.key, part: Math.min(1, Math.max(0, (event.clientX - left) / width)) };
    showChartsOver();
  };
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerleave", () => {
    pointedAt = undefined;
    showChartsOver();
  });
  const title = make("h3", {}, chart.title, " ", make("span", { class: "muted by" }, chart.by));
  const head = make("div", { class: "chart-head" }, title, parts.when);
  return Object.assign(make("article", { class: "card chart" }, head, plot, parts.times, parts.legend), { parts });
}

// The next round number above: 1, 2 or 5 with noughts.
function roundAbove(number) {
  if (!(number > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= number * 0.999);
}

function scaleOf({ isBinary }, most) {
  const unit = isBinary ? 1024 ** Math.max(0, Math.floor(Math.log(Math.max(most, 1)) / Math.log(1024))) : 1;
  return roundAbove(most / unit) * unit;
}

function drawChart(element, chart, end) {
  const { parts } = element;
  const shown = samples.filter(({ time }) => Date.parse(time) > end - chartSpan);
  const lines = chart.lines().map(line => ({ ...line, values: shown.map(sample => line.of(sample)) }));
  const known = lines.flatMap(({ values }) => values.filter(value => value !== undefined));
  const most = scaleOf(chart, Math.max(...known, 0));
  const x = time => chartWidth * (1 - (end - time) / chartSpan);
  const y = value => (chartHeight - 2) * (1 - value / most) + 1;
  drawGrid(parts, x, end);
  write(parts.most, known.some(value => value > 0) ? chart.unit(most) : "");
  const at = pointedAt && nearestTo(shown, end - chartSpan * (1 - pointedAt.part));
  const draw = (group, { values }, index) => {
    const path = pathOf(shown, values, x, y, chart.isSparse);
    if (group.getAttribute("d") !== path) group.setAttribute("d", path);
    group.setAttribute("class", `line s${index}`);
  };
  const keyed = lines.map((line, index) => ({ ...line, index }));
  keep(parts.lines, keyed, ({ index }) => index, () => svgElement("path"), (group, line) => draw(group, line, line.index));
  const moment = at === undefined ? "" : `M${x(Date.parse(shown[at].time)).toFixed(1)} 0V${chartHeight}`;
  if (parts.cursor.getAttribute("d") !== moment) parts.cursor.setAttribute("d", moment);
  write(parts.when, at === undefined ? "" : utc(shown[at].time));
  drawLegend(parts.legend, keyed, chart, at ?? shown.length - 1);
}

// Which sample is nearest to a time.
function nearestTo(shown, time) {
  if (shown.length === 0) return undefined;
  const distance = index => Math.abs(Date.parse(shown[index].time) - time);
  let nearest = 0;
  for (let index = 1; index < shown.length; index += 1) if (distance(index) < distance(nearest)) nearest = index;
  return nearest;
}

function drawGrid(parts, x, end) {
  const marks = [];
  for (let time = Math.ceil((end - chartSpan) / chartStep) * chartStep; time <= end; time += chartStep) marks.push(time);
  const path = [...marks.map(time => `M${x(time).toFixed(1)} 0V${chartHeight}`), `M0 ${chartHeight / 2}H${chartWidth}`].join("");
  keep(parts.grid, [path], () => "grid", () => svgElement("path"), (grid, text) => grid.setAttribute("d", text));
  // One at an edge would be cut.
  const whole = marks.filter(time => x(time) > chartWidth * 0.05 && x(time) < chartWidth * 0.95);
  keep(parts.times, whole, time => time, () => make("span"), (mark, time) => {
    write(mark, new Date(time).toISOString().slice(11, 16));
    mark.style.left = `${(100 * x(time)) / chartWidth}%`;
  });
}

// A line, with gaps where nothing is known; a point by itself is a short one.
function pathOf(shown, values, x, y, isSparse) {
  let path = "";
  let last;
  shown.forEach(({ time }, index) => {
    const value = values[index];
    if (value === undefined) return;
    const now = Date.parse(time);
    const isGap = last === undefined || now - last > (isSparse ? 60_000 : 3 * refresh);
    path += isGap ? `M${(x(now) - 1).toFixed(1)} ${y(value).toFixed(1)}H${x(now).toFixed(1)}` : `L${x(now).toFixed(1)} ${y(value).toFixed(1)}`;
    last = now;
  });
  return path;
}

function drawLegend(list, lines, { unit }, at) {
  const create = () => make("li", {}, make("i", { "aria-hidden": "true" }), make("span", { class: "label" }), make("span", { class: "number" }));
  const items = lines.length > 0 ? lines : [{ name: "none", index: 9, values: [] }];
  keep(list, items, ({ name }) => name, create, (item, { name, index, values }) => {
    const [mark, label, figure] = item.children;
    setClass(mark, `mark s${index}`);
    write(label, name);
    const value = values[at];
    write(figure, value === undefined ? "–" : unit(value));
  });
}

// What a figure was in the last minutes, with what it is now.
function sparkOf(of, now) {
  const values = samples.map(of);
  if (now !== undefined) values.push(now);
  return values.slice(-sparkLength);
}
