// Numbers for people.

const grouped = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const isNumber = (x) => typeof x === "number" && Number.isFinite(x);

export function count(n) {
  return isNumber(n) ? grouped.format(Math.round(n)) : "–";
}

/** Counts for axes and narrow places: 950, 1.2k, 34k, 1.5M. */
export function short(n) {
  if (!isNumber(n)) return "–";
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (n >= unit) return (n / unit).toFixed(n < 10 * unit && n % unit ? 1 : 0) + letter;
  }
  return n < 10 && n % 1 ? n.toFixed(1) : String(Math.round(n));
}

export function rate(n) {
  if (!isNumber(n)) return "–";
  return n >= 100000 ? short(n) : n < 10 && n > 0 ? n.toFixed(1) : count(n);
}

export function duration(ms) {
  if (!isNumber(ms)) return "–";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 120000) return `${(ms / 1000).toFixed(ms < 60000 ? 1 : 0)} s`;
  return `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
}

export function percent(part) {
  if (!isNumber(part)) return "–";
  const value = part * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

export const timeOfDay = (seconds) => clock.format(seconds * 1000);
export const minuteOfDay = (seconds) => minute.format(seconds * 1000);

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
