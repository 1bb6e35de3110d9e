import { useTitle } from './ui/title.js';

export function NotFoundPage() {
  useTitle('Not found');
  return (
    <div class="empty">
      <h1>There is no such page</h1>
      <p>
        <a href="/">All jobs</a>
      </p>
    </div>
  );
}
