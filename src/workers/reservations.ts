/** Room that is kept in this process until it is known whether it will be used. */
export class Reservations {
  readonly #kept = new Set<{ readonly places: number; readonly chunks: number }>();
  #ended: (() => void)[] = [];

  get places(): number {
    let places = 0;
    for (const each of this.#kept) places += each.places;
    return places;
  }

  get chunks(): number {
    let chunks = 0;
    for (const each of this.#kept) chunks += each.chunks;
    return chunks;
  }

  /** @returns what gives the room back */
  keep(places: number, chunks: number): () => void {
    const kept = { places, chunks };
    this.#kept.add(kept);
    return () => {
      this.#kept.delete(kept);
      if (this.#kept.size > 0) return;
      for (const tell of this.#ended.splice(0)) tell();
    };
  }

  /** Resolves when none is left. */
  async none(): Promise<void> {
    if (this.#kept.size > 0) await new Promise<void>((resolve) => this.#ended.push(resolve));
  }
}
