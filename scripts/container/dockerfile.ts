/** The instructions that the Dockerfile uses, and no others: a Dockerfile that grows past this parser fails the check. */

export interface Instruction {
  readonly line: number;
  readonly name: string;
  /** Such as {from: 'build'} of `COPY --from=build`. */
  readonly flags: Readonly<Record<string, string>>;
  /** The rest of it, with its continued lines joined. */
  readonly text: string;
}

export interface Stage {
  readonly name: string;
  /** An image, or the name of an earlier stage. */
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

export interface HealthCheck {
  readonly command: readonly string[];
  readonly timeoutSeconds: number;
}

const KNOWN = [
  ...['ADD', 'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'FROM'],
  ...['HEALTHCHECK', 'RUN', 'USER', 'VOLUME', 'WORKDIR'],
];

/** @throws Error that names the line of what it does not know */
export function parseDockerfile(text: string): Stage[] {
  const stages: { name: string; from: string; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    if (instruction.name === 'FROM') {
      const [, from, name] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(instruction.text) ?? [];
      if (from === undefined) throw new Error(`line ${instruction.line}: FROM cannot be read`);
      stages.push({ name: name ?? String(stages.length), from, instructions: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (!stage) throw new Error(`line ${instruction.line}: ${instruction.name} comes before the first FROM`);
    stage.instructions.push(instruction);
  }
  if (stages.length === 0) throw new Error('there is no FROM');
  return stages;
}

function* instructionsOf(text: string): Generator<Instruction> {
  let joined = '';
  let begun = 0;
  for (const [at, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    // A comment may stand between the lines of one instruction; an empty line too, though Docker warns.
    if (line === '' || line.startsWith('#')) continue;
    if (joined === '') begun = at + 1;
    joined += line.replace(/\\$/, '');
    if (line.endsWith('\\')) continue;
    yield instructionOf(joined, begun);
    joined = '';
  }
  if (joined !== '') throw new Error(`line ${begun}: the last line promises another one`);
}

function instructionOf(joined: string, line: number): Instruction {
  const [, word = '', after = ''] = /^(\S+)\s*(.*)$/s.exec(joined) ?? [];
  const name = word.toUpperCase();
  if (!KNOWN.includes(name)) throw new Error(`line ${line}: ${name} is unknown here`);
  if (after.includes('<<')) throw new Error(`line ${line}: here-documents are unknown here`);
  const flags: Record<string, string> = {};
  let text = after;
  for (let flag; (flag = /^--([a-z-]+)=(\S+)\s+/.exec(text)); text = text.slice(flag[0].length))
    flags[flag[1] ?? ''] = flag[2] ?? '';
  if (text.startsWith('--')) throw new Error(`line ${line}: the flags of ${name} cannot be read`);
  return { line, name, flags, text };
}

/** The program and its arguments, or undefined when a shell would read the text. */
export function execForm(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  const parsed: unknown = JSON.parse(text);
  return Array.isArray(parsed) && parsed.every((word) => typeof word === 'string') ? parsed : undefined;
}

/** The pairs of `ENV A=1 B="two words"` or of `ARG A=1`; an ARG without a value gives an empty one. */
export function pairsOf({ line, name, text }: Instruction): [string, string][] {
  const words = text.match(/(?:[^\s"]+|"[^"]*")+/g) ?? [];
  return words.map((word) => {
    const [, key, value] = /^([A-Za-z_]\w*)(?:=(.*))?$/s.exec(word) ?? [];
    if (key === undefined || (value === undefined && name === 'ENV'))
      throw new Error(`line ${line}: ${name} expects NAME=value, got: ${word}`);
    return [key, (value ?? '').replaceAll('"', '')];
  });
}

/** The last instruction of that name in the stage, which is the one that counts. */
export function lastOf(stage: Stage, name: string): Instruction | undefined {
  return stage.instructions.findLast((instruction) => instruction.name === name);
}

/** @throws Error unless the stage has a health check in exec form */
export function healthCheckOf(stage: Stage): HealthCheck {
  const instruction = lastOf(stage, 'HEALTHCHECK');
  const command = execForm(instruction?.text.replace(/^CMD\s+/, '') ?? '');
  if (!instruction || !command) throw new Error(`stage ${stage.name} has no HEALTHCHECK CMD ["…"]`);
  return { command, timeoutSeconds: parseInt(instruction.flags['timeout'] ?? '30', 10) };
}
