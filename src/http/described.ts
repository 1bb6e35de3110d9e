import { z } from 'zod';

/** Headers and parameters that several operations describe. */

/** Of an answer whose body a client may have already. */
export const taggedHeaders = z.object({
  ETag: z.string().describe('Strong: two answers with the same tag are the same bytes'),
  'Cache-Control': z.literal('private, no-cache'),
});

export const ifNoneMatch = z
  .string()
  .optional()
  .describe('Entity tags that the client has: the answer is 304 when one of them is still right');

export const notModified = {
  description: 'What the client has is still right',
  headers: taggedHeaders,
};

export const fileHeaders = z.object({
  'Content-Disposition': z.string().describe('Names a file to save it as'),
});
