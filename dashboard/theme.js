// Before anything is painted: whoever chose a theme sees no flash of the other one. A file of its own, because the content
// security policy allows no inline script.
try {
  const theme = localStorage.getItem('tally.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is denied: the system's theme it is.
}
