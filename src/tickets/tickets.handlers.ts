import type { z } from 'zod';
import {
  failed,
  succeeded,
  TaskHandler,
  type BatchContext,
  type BatchTaskHandler,
  type TaskOutcome,
} from '../jobs/task-handler.js';
import type { TicketWrite } from './ticket.js';
import { createTask, deleteTask, updateTask } from './ticket.schemas.js';
import { TicketsStore } from './tickets.store.js';

/**
 * The three task types of tickets. Each takes a batch of tasks in one go and writes through `context.tx`, so that tickets
 * and results commit together: a ticket is written exactly once, whatever crashes.
 */

type CreateTask = z.output<typeof createTask>;
type UpdateTask = z.output<typeof updateTask>;
type DeleteTask = z.output<typeof deleteTask>;

@TaskHandler({ type: 'tickets.create', task: createTask, transaction: true })
export class CreateTicketsHandler implements BatchTaskHandler<CreateTask> {
  constructor(private readonly store: TicketsStore) {}

  async runBatch(tasks: readonly CreateTask[], { tx, accountId }: BatchContext): Promise<TaskOutcome[]> {
    const ids = await this.store.create(tx, accountId, tasks);
    return tasks.map(({ title }, at) => done('create', 'Created', title, ids[at] as number));
  }
}

@TaskHandler({
  type: 'tickets.update',
  task: updateTask,
  transaction: true,
  orderBy: (task: UpdateTask) => task.id,
})
export class UpdateTicketsHandler implements BatchTaskHandler<UpdateTask> {
  constructor(private readonly store: TicketsStore) {}

  async runBatch(tasks: readonly UpdateTask[], { tx, accountId }: BatchContext): Promise<TaskOutcome[]> {
    const writes = await this.store.update(tx, accountId, tasks);
    return writes.map((write) => outcomeOf('update', 'Updated', write));
  }
}

@TaskHandler({
  type: 'tickets.delete',
  task: deleteTask,
  transaction: true,
  orderBy: (task: DeleteTask) => task.id,
})
export class DeleteTicketsHandler implements BatchTaskHandler<DeleteTask> {
  constructor(private readonly store: TicketsStore) {}

  async runBatch(tasks: readonly DeleteTask[], { tx, accountId }: BatchContext): Promise<TaskOutcome[]> {
    const writes = await this.store.delete(tx, accountId, tasks);
    return writes.map((write) => outcomeOf('delete', 'Deleted', write));
  }
}

type Action = 'create' | 'update' | 'delete';
type Done = 'Created' | 'Updated' | 'Deleted';

function outcomeOf(action: Action, status: Done, write: TicketWrite): TaskOutcome {
  const { id } = write;
  switch (write.outcome) {
    case 'written':
      return done(action, status, write.title, id);
    case 'closed':
      return refused(action, 'TicketClosed', `Ticket ${id} is closed and cannot be changed`, write.title, id);
    case 'missing':
      return refused(action, 'RecordNotFound', `Ticket ${id} was not found`, null, id);
  }
}

/** The six members of the seed's example, in its order. */
const done = (action: Action, status: Done, title: string, id: number): TaskOutcome =>
  succeeded({ title, action, errors: '', id, success: true, status });

/** The same six: the worker writes `errors`, `success` and `status` over the ones here, which keep their places. */
const refused = (
  action: Action,
  error: string,
  sentence: string,
  title: string | null,
  id: number,
): TaskOutcome =>
  failed(error, sentence, {
    result: { title, action, errors: sentence, id, success: false, status: 'Failed' },
  });
