import { execForm, lastOf, pairsOf, type Instruction, type Stage } from './dockerfile.js';

/** What every Dockerfile of ours keeps to, seen without building it. @returns a sentence for each breach */
export function breaches(stages: readonly Stage[]): string[] {
  const last = stages.at(-1);
  return [
    ...stages.flatMap((stage, at) => [
      ...origin(stage, stages.slice(0, at)),
      ...stage.instructions.flatMap((instruction) => ofInstruction(instruction, stages.slice(0, at))),
      ...(stage === last || lastOf(stage, 'CMD') ? ofRunning(stage) : []),
    ]),
    ...(last && !lastOf(last, 'HEALTHCHECK') ? [`stage ${last.name} has no HEALTHCHECK`] : []),
  ];
}

function origin({ name, from }: Stage, earlier: readonly Stage[]): string[] {
  if (earlier.some((stage) => stage.name === from)) return [];
  const tag = /:([^:/@]+)(?:@.*)?$/.exec(from)?.[1];
  return tag === undefined || tag === 'latest'
    ? [`stage ${name} begins from ${from}, whichever that is`]
    : [];
}

function ofInstruction(instruction: Instruction, earlier: readonly Stage[]): string[] {
  const { line, name, flags, text } = instruction;
  const found: string[] = [];
  if (name === 'ADD') found.push(`line ${line}: ADD fetches and unpacks; COPY does what it says`);
  if (
    name === 'COPY' &&
    flags['from'] !== undefined &&
    !earlier.some((stage) => stage.name === flags['from'])
  )
    found.push(`line ${line}: COPY --from=${flags['from']} names no earlier stage`);
  if (name === 'COPY' && flags['from'] === undefined && /^\.\/?\s/.test(text))
    found.push(`line ${line}: COPY of the whole folder takes along what nobody listed`);
  if (name === 'ENV' || name === 'ARG') found.push(...secretsIn(instruction));
  return found;
}

/** A value in the image is there for everyone who has the image, also when a later layer removes it. */
function secretsIn(instruction: Instruction): string[] {
  return pairsOf(instruction)
    .filter(
      ([key, value]) => /PASSWORD|SECRET|TOKEN|PRIVATE|CREDENTIAL/i.test(key) || /:\/\/[^/]*@/.test(value),
    )
    .map(([key]) => `line ${instruction.line}: ${key} would be a secret in the image`);
}

function ofRunning(stage: Stage): string[] {
  const found: string[] = [];
  const user = lastOf(stage, 'USER')?.text;
  if (user === undefined || /^(root|0)(:|$)/.test(user)) found.push(`stage ${stage.name} runs as root`);
  const starts = ['CMD', 'ENTRYPOINT'].flatMap((name) => lastOf(stage, name) ?? []);
  if (starts.length === 0) found.push(`stage ${stage.name} starts nothing`);
  for (const { name, line, text } of starts)
    if (!execForm(text)) found.push(`line ${line}: ${name} through a shell, which keeps signals to itself`);
  return found;
}
