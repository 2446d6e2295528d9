// How figures are written. Whatever comes in, a text comes out.

const wholes = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const byteUnits = ["B", "kB", "MB", "GB", "TB", "PB"];

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
  while (number >= 999.5 && unit < byteUnits.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit > 0 && number < 99.5 ? tenths.format(number) : count(number)} ${byteUnits[unit]}`;
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

// With the date, unless it is today's.
function localTime(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return text;
  return time.toDateString() === new Date().toDateString() ? time.toLocaleTimeString() : time.toLocaleString();
}
