import { signal } from '@preact/signals';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'tally.theme';
const isTheme = (text: string | undefined): text is Theme => THEMES.includes(text as Theme);

/** What assets/theme.js found before the first paint. */
const found = document.documentElement.dataset['theme'];
export const theme = signal<Theme>(isTheme(found) ? found : 'system');

export function choose(next: Theme): void {
  theme.value = next;
  if (next === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Storage is denied: the choice holds until the page is left.
  }
}
