// How figures are written. Whatever comes in, a text comes out. Times are UTC and bytes are counted by 1,024, as in the log and
// by the commands.

const wholes = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function count(number) {
  return wholes.format(number);
}

function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

// Small rates need their tenths, large ones do not.
function perSecond(number) {
  return number > 0 && number < 10 ? tenths.format(number) : count(number);
}

function bytes(number) {
  let unit = 0;
  while (number >= 1023.5 && unit < byteUnits.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${unit > 0 && number < 99.95 ? tenths.format(number) : count(number)} ${byteUnits[unit]}`;
}

function percent(part, whole) {
  return whole > 0 ? `${count((100 * part) / whole)} %` : "–";
}

function milliseconds(number) {
  if (number >= 1000) return `${tenths.format(number / 1000)} s`;
  return `${number > 0 && number < 10 ? tenths.format(number) : count(number)} ms`;
}

// The two largest units: "3 h 12 min".
function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([number]) => number > 0).map(part => part.join(" ")).join(" ");
}

function bound(seconds) {
  return duration(seconds).replace("1 d", "24 h");
}

// "08:15:02 UTC", with the date unless it is today's.
function utc(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return String(text);
  const [date, clock] = time.toISOString().split("T");
  const day = date === new Date().toISOString().slice(0, 10) ? "" : `${date} `;
  return `${day}${clock.slice(0, 8)} UTC`;
}
