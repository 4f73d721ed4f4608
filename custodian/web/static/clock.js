// How countdowns are written; custodian/web/words.py does the same for what the page shows before its scripts run.

const DAY = 86_400;
const HOUR = 3_600;
const two = (number) => String(number).padStart(2, "0");
const minutes = (seconds) => Math.floor(seconds / 60) % 60;
const hours = (seconds) => Math.floor(seconds / HOUR);
const days = (seconds) => Math.floor(seconds / DAY);

/** `9:03`, `1 h 02 min`, `3 d 4 h`. */
export function clock(seconds) {
  if (seconds >= DAY) return `${days(seconds)} d ${hours(seconds) % 24} h`;
  if (seconds >= HOUR) return `${hours(seconds)} h ${two(minutes(seconds))} min`;
  return `${minutes(seconds)}:${two(seconds % 60)}`;
}

/** What fits into a ring: `9:03`, `1:02 h`, `3 d`. */
export function brief(seconds) {
  if (seconds >= DAY) return `${days(seconds)} d`;
  return seconds >= HOUR ? `${hours(seconds)}:${two(minutes(seconds))} h` : clock(seconds);
}
