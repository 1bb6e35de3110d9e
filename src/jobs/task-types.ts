import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { z } from 'zod';
import { CONFIG, type Config } from '../config/config.js';
import { StartError } from '../errors.js';
import {
  handlerOptions,
  type AnyTaskHandler,
  type BatchTaskHandler,
  type SingleTaskHandler,
  type TaskHandlerOptions,
} from './task-handler.js';

/** A task type this process knows. */
export interface TaskType extends TaskHandlerOptions {
  readonly handler: AnyTaskHandler;
}

export const isBatchHandler = (handler: AnyTaskHandler): handler is BatchTaskHandler => 'runBatch' in handler;
export const isSingleHandler = (handler: AnyTaskHandler): handler is SingleTaskHandler => 'run' in handler;

/** What a task is, for a description. A handler from outside may have a schema that JSON Schema has no words for. */
export function describedTask({ task }: TaskType): z.ZodType {
  try {
    z.toJSONSchema(task, { io: 'input' });
    return task;
  } catch {
    return z.unknown().describe('Checked by its handler');
  }
}

/** The registry: every provider of the process that carries `@TaskHandler`. */
@Injectable()
export class TaskTypes implements OnModuleInit {
  readonly #types = new Map<string, TaskType>();

  constructor(
    private readonly discovery: DiscoveryService,
    @Inject(CONFIG) private readonly config: Pick<Config, 'DEMO_TASKS'>,
  ) {}

  onModuleInit(): void {
    for (const provider of this.discovery.getProviders()) {
      const instance: unknown = provider.instance;
      if (!provider.metatype || typeof instance !== 'object' || instance === null) continue;
      const options = handlerOptions(provider.metatype);
      if (options) this.register(options, instance);
    }
  }

  /** @throws StartError when the class is no handler, or its type is already taken */
  register(options: TaskHandlerOptions, instance: object): void {
    const name = instance.constructor.name;
    if (!/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/.test(options.type))
      throw new StartError(`${name}: expected a task type such as orders.import, got: ${options.type}`);
    const taken = this.#types.get(options.type);
    if (taken)
      throw new StartError(
        `Task type ${options.type} has two handlers: ${taken.handler.constructor.name} and ${name}`,
      );
    const { concurrency = 1 } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1)
      throw new StartError(`${name}: expected concurrency to be a positive integer, got: ${concurrency}`);
    const handler = instance as Partial<SingleTaskHandler> & Partial<BatchTaskHandler>;
    if ((typeof handler.run === 'function') === (typeof handler.runBatch === 'function'))
      throw new StartError(`${name}: expected a handler of ${options.type} to have either run or runBatch`);
    this.#types.set(options.type, { ...options, handler: instance as AnyTaskHandler });
  }

  get(type: string): TaskType | undefined {
    return this.#types.get(type);
  }

  all(): readonly TaskType[] {
    return [...this.#types.values()];
  }

  /** The type, when clients may submit it: the demo types only where DEMO_TASKS says so. */
  submittable(type: string): TaskType | undefined {
    if (type.startsWith('demo.') && !this.config.DEMO_TASKS) return undefined;
    return this.#types.get(type);
  }

  submittableNames(): string[] {
    return [...this.#types.keys()].filter((type) => this.submittable(type)).sort();
  }
}
