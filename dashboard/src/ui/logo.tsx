/** Four strokes and the fifth across them. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg class="logo" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" class="logo-ground" />
      <path class="logo-strokes" d="M9 8v16M14 8v16M19 8v16M24 8v16M5.5 21.5l21-11" />
    </svg>
  );
}
