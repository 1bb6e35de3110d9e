import { useEffect } from 'preact/hooks';

/** Names the page in the browser's tab, and to whoever hears where a link has led. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Tally`;
  }, [title]);
}
