const whole = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** 1,234,567 */
export const count = (value: number): string => whole.format(value);

/** 1.2M, where there is room for little more. */
export const shortCount = (value: number): string =>
  value < 10_000 ? whole.format(value) : compact.format(value);

/** Tasks a second. */
export const rate = (perSecond: number): string => {
  if (perSecond >= 100) return shortCount(Math.round(perSecond));
  return perSecond >= 10 ? perSecond.toFixed(0) : perSecond.toFixed(perSecond === 0 ? 0 : 1);
};

/** 100 % only when all are done. */
export const percent = (part: number, total: number): string =>
  `${total === 0 ? 0 : Math.floor((part / total) * 100)} %`;

export const plural = (value: number, noun: string): string =>
  `${count(value)} ${noun}${value === 1 ? '' : 's'}`;

const UNITS = ['B', 'kB', 'MB', 'GB'] as const;
export function bytes(value: number): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  const scaled = value / 1_000 ** power;
  return `${scaled >= 100 || power === 0 ? Math.round(scaled) : scaled.toFixed(1)} ${UNITS[power] ?? 'B'}`;
}
