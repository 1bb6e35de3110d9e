const BATCH_CHARACTERS = 65_536;

/**
 * Tasks as the body of a streamed submission, a line each. They are asked for as they are sent: memory stays small,
 * however many there are.
 */
export function ndjson(tasks: AsyncIterable<unknown> | Iterable<unknown>): ReadableStream<Uint8Array> {
  const source = Symbol.asyncIterator in tasks ? tasks[Symbol.asyncIterator]() : tasks[Symbol.iterator]();
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      let lines = '';
      while (lines.length < BATCH_CHARACTERS) {
        const next = await source.next();
        if (next.done) {
          if (lines !== '') controller.enqueue(encoder.encode(lines));
          controller.close();
          return;
        }
        lines += `${JSON.stringify(next.value)}\n`;
      }
      controller.enqueue(encoder.encode(lines));
    },
    async cancel() {
      await source.return?.();
    },
  });
}
