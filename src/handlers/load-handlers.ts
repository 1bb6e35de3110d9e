import { readdir, realpath } from 'node:fs/promises';
import { register } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf, StartError } from '../errors.js';
import { handlerOptions, type TaskHandlerClass } from '../jobs/task-handler.js';

/**
 * Loads the handler classes that the ES modules of a directory export: every `.js` and `.mjs` at its top level.
 * @throws StartError that names the file: it cannot be loaded, or exports no handler
 */
export async function loadHandlers(directory: string): Promise<TaskHandlerClass[]> {
  let path: string;
  let files: string[];
  try {
    path = await realpath(directory);
    files = (await readdir(path)).filter((name) => /\.m?js$/.test(name)).sort();
  } catch (error) {
    throw new StartError(`HANDLERS: ${directory} cannot be read: ${sentenceOf(error)}`);
  }
  register('./resolve-hook.js', import.meta.url, {
    data: { handlers: `${pathToFileURL(path).href}/`, service: import.meta.url },
  });
  const classes = new Set<TaskHandlerClass>();
  for (const file of files) for (const handler of await loadModule(join(path, file))) classes.add(handler);
  return [...classes];
}

async function loadModule(path: string): Promise<TaskHandlerClass[]> {
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    throw new StartError(`HANDLERS: ${path} cannot be loaded: ${sentenceOf(error)}`);
  }
  const handlers = Object.values(module).filter(isHandler);
  if (handlers.length > 0) return handlers;
  throw new StartError(
    `HANDLERS: ${path} exports no task handler: expected a class declared with TaskHandler (other modules belong in a folder)`,
  );
}

const isHandler = (value: unknown): value is TaskHandlerClass =>
  typeof value === 'function' && handlerOptions(value) !== undefined;

const sentenceOf = (error: unknown): string => messageOf(error).split('\n')[0] ?? '';
