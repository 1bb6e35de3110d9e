/** What a ticket is, in pure functions: its words, its id, and what a series of changes makes of it. */

export const TICKET_STATUSES = ['new', 'open', 'pending', 'hold', 'solved', 'closed'] as const;
export type TicketStatus = (typeof TICKET_STATUSES)[number];

export const TICKET_PRIORITIES = ['low', 'normal', 'high', 'urgent'] as const;
export type TicketPriority = (typeof TICKET_PRIORITIES)[number];

export interface NewTicket {
  readonly title: string;
  readonly description: string;
  readonly status: TicketStatus;
  readonly priority: TicketPriority | null;
  readonly tags: readonly string[];
}

/** What to write over a ticket: a member that is absent stays as it is; a `priority` of null removes it. */
export interface TicketChange extends Partial<NewTicket> {
  readonly id: number;
}

/** What must be known of a ticket to decide on a write. */
export interface TicketState {
  readonly title: string;
  readonly status: TicketStatus;
}

/** What became of one write. A closed ticket is final, as in any help desk: it can be deleted, not changed. */
export type TicketWrite =
  | { readonly outcome: 'written' | 'closed'; readonly id: number; readonly title: string }
  | { readonly outcome: 'missing'; readonly id: number };

/** All changes of one ticket in one: the last value of each member, and how many times the ticket was written. */
export interface MergedChange extends TicketChange {
  readonly times: number;
}

/**
 * Plays changes through in their order, so that of two changes of one ticket the second meets what the first has made.
 * @param states the tickets that there are; what is not in it is missing
 * @returns an outcome a change, and one merged change a ticket that was written
 */
export function playChanges(
  states: ReadonlyMap<number, TicketState>,
  changes: readonly TicketChange[],
): { writes: TicketWrite[]; merged: MergedChange[] } {
  const merged = new Map<number, MergedChange>();
  const writes = changes.map((change): TicketWrite => {
    const { id } = change;
    const stored = states.get(id);
    if (!stored) return { outcome: 'missing', id };
    const before = merged.get(id);
    const title = before?.title ?? stored.title;
    if ((before?.status ?? stored.status) === 'closed') return { outcome: 'closed', id, title };
    merged.set(id, { ...before, ...change, times: (before?.times ?? 0) + 1 });
    return { outcome: 'written', id, title: change.title ?? title };
  });
  return { writes, merged: [...merged.values()] };
}

/** @returns null when the text is no id of a ticket */
export function parseTicketId(text: string): number | null {
  if (!/^[1-9]\d{0,15}$/.test(text)) return null;
  const id = Number(text);
  return Number.isSafeInteger(id) ? id : null;
}
