import { Cpu, ListChecks, LogOut, Monitor, Moon, Plus, Sun, WifiOff, type IconNode } from 'lucide';
import type { ComponentChildren } from 'preact';
import { useLocation } from 'preact-iso';
import { useEffect, useRef } from 'preact/hooks';
import { sentenceOf } from './api/sentence.js';
import { connection } from './live/live.js';
import { signOut, user } from './session/session.js';
import { Icon } from './ui/icon.js';
import { Logo } from './ui/logo.js';
import { choose, theme, THEMES, type Theme } from './ui/theme.js';
import { say } from './ui/toast.js';

const PAGES: readonly { href: string; name: string; icon: IconNode }[] = [
  { href: '/', name: 'Jobs', icon: ListChecks },
  { href: '/submit', name: 'Submit', icon: Plus },
  { href: '/workers', name: 'Workers', icon: Cpu },
];

/** What stands around every page. */
export function Shell({ children }: { children: ComponentChildren }) {
  const { path } = useLocation();
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  // A new page begins at its top, for the eyes and for the keyboard.
  useEffect(() => {
    if (!isFirst.current) {
      window.scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
    isFirst.current = false;
  }, [path]);
  return (
    <>
      <a class="skip" href="#main" onClick={() => main.current?.focus()}>
        Skip to content
      </a>
      <header class="top">
        <div class="top-inner">
          <a class="brand" href="/" aria-label="Tally, all jobs">
            <Logo />
            <span>Tally</span>
          </a>
          <nav class="nav" aria-label="Pages">
            {PAGES.map(({ href, name, icon }) => (
              <a key={href} href={href} aria-current={isCurrent(href, path) ? 'page' : undefined}>
                <Icon of={icon} size={18} />
                {name}
              </a>
            ))}
          </nav>
          <div class="top-end">
            <ThemeButton />
            <span class="who">
              <span class="who-email">{user.value?.email}</span>
              <span class="who-account">{user.value?.account}</span>
            </span>
            <button type="button" class="icon-button" aria-label="Sign out" title="Sign out" onClick={leave}>
              <Icon of={LogOut} size={18} />
            </button>
          </div>
        </div>
      </header>
      <div role="status" class="connection-line">
        {connection.value === 'broken' && (
          <span class="connection-lost">
            <Icon of={WifiOff} /> Not live: connecting again …
          </span>
        )}
      </div>
      <main id="main" class="page" ref={main} tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

const isCurrent = (href: string, path: string): boolean =>
  href === '/' ? path === '/' || path.startsWith('/jobs/') : path === href;

const THEME_ICONS: Readonly<Record<Theme, IconNode>> = { system: Monitor, light: Sun, dark: Moon };

function ThemeButton() {
  const now = theme.value;
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length] ?? 'system';
  const label = `Theme: ${now}. Change to ${next}`;
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={() => choose(next)}>
      <Icon of={THEME_ICONS[now]} size={18} />
    </button>
  );
}

const leave = () => {
  signOut().catch((error: unknown) => say(sentenceOf(error), { isBad: true }));
};
