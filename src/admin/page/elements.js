// How the page is changed: in place, and only where something differs. Names come from outside: they are text, never markup.

const roles = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", td: "cell" };

function byId(id) {
  return document.getElementById(id);
}

// An element; what is false, null or absent among its attributes and children is left out.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  // A table that is laid out as cards stays a table for those who do not see it.
  if (roles[tag]) element.setAttribute("role", roles[tag]);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child != null && child !== false));
  return element;
}

function heading(text, ...classes) {
  return make("th", { role: "columnheader", scope: "col", class: classes.join(" ") || null }, text);
}

// A cell that tells its column where the table is laid out as cards.
function cell(label, ...classes) {
  return make("td", { "data-label": label, class: classes.join(" ") || null });
}

function button(label, about, onclick, danger = false) {
  const hidden = make("span", { class: "hidden" }, ` ${about}`);
  return make("button", { type: "button", class: danger ? "danger" : null, onclick }, label, hidden);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

// Makes the children of an element those of a list: each has its key, and its element stays as long as the key does.
function keep(parent, items, keyOf, create, update) {
  const known = (parent.known ??= new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, element] of known) {
    if (wanted.has(key)) continue;
    element.remove();
    known.delete(key);
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let element = known.get(key);
    if (!element) {
      element = create(item);
      known.set(key, element);
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
    update(element, item);
  }
}

// Whether lists are short, for want of room.
function isNarrow() {
  return matchMedia("(max-width: 900px)").matches;
}

// Shows the first of a list, and a button for as many again.
function cap(more, items, shown, step, word) {
  const rest = items.length - shown;
  show(more, rest > 0);
  if (rest > 0) write(more, `Show ${count(Math.min(step, rest))} more of ${plural(items.length, word)}`);
  return items.slice(0, shown);
}

function makeBar() {
  return make("span", { class: "bar", "aria-hidden": "true" }, make("span"));
}

function setBar(bar, value, most) {
  const width = most > 0 ? `${Math.max(value > 0 ? 1 : 0, (100 * value) / most).toFixed(1)}%` : "0%";
  const fill = bar.firstElementChild;
  if (fill.style.width !== width) fill.style.width = width;
}

// A list of bars, each with its figure as text.
function bars(list, entries) {
  const most = Math.max(...entries.map(entry => entry.value), 0);
  const create = () => make("li", {}, make("span", { class: "label" }), makeBar(), make("span", { class: "number" }));
  keep(list, entries, entry => entry.label, create, (item, { label, value, text }) => {
    const [name, bar, figure] = item.children;
    write(name, label);
    write(figure, text ?? count(value));
    setBar(bar, value, most);
  });
}

const svgNames = "http://www.w3.org/2000/svg";

function makeSparkline() {
  const svg = document.createElementNS(svgNames, "svg");
  svg.setAttribute("viewBox", "0 0 100 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("spark");
  svg.append(document.createElementNS(svgNames, "polyline"));
  return svg;
}

// The last value is at the right edge; a few do not fill the width.
function setSparkline(svg, values) {
  const length = Math.max(values.length, sparkLength);
  const most = Math.max(...values, 1);
  const x = index => (100 * (index + length - values.length)) / (length - 1);
  const points = values.map((value, index) => `${x(index).toFixed(1)},${(23 - (22 * value) / most).toFixed(1)}`);
  svg.firstElementChild.setAttribute("points", points.join(" "));
}

// Tells what has come of something; the time tells it from the same said before.
function say(text, look = "said") {
  write(byId("said"), `${utc(Date.now())}: ${text}`);
  setClass(byId("said"), look);
}
