import { signal } from '@preact/signals';

/** One clock for all that says how long ago something was. */
const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 10_000);

const full = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
const toTheSecond = new Intl.DateTimeFormat('en', {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const thisYear = new Intl.DateTimeFormat('en', {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
});

/** 45 s, 3 min, 2 h 5 min, 4 d 3 h */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole === 0) return seconds > 0 ? '< 1 s' : '0 s';
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 10 && whole % 60 > 0) return `${minutes} min ${whole % 60} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function ago(at: number, until: number): string {
  const seconds = (until - at) / 1_000;
  if (seconds < 10) return 'just now';
  if (seconds < 60) return 'under a minute ago';
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return thisYear.format(at);
}

/** How long ago; the time itself in its title. */
export function Ago({ at }: { at: string }) {
  const time = Date.parse(at);
  return (
    <time dateTime={at} title={full.format(time)}>
      {ago(time, now.value)}
    </time>
  );
}

export function At({ at }: { at: string }) {
  const time = Date.parse(at);
  return (
    <time dateTime={at} title={full.format(time)}>
      {toTheSecond.format(time)}
    </time>
  );
}

export const secondsBetween = (from: string, to: string): number =>
  (Date.parse(to) - Date.parse(from)) / 1_000;
