import { describe, expect, test } from '@jest/globals';
import { entityTag, isKnown } from '../../src/http/etag.js';

describe('an entity tag', () => {
  test('is strong, and says the version and a hash of the rest', () => {
    expect(entityTag(7, 'a')).toMatch(/^"7-[\w-]{16}"$/);
    expect(entityTag(7, 'a')).toBe(entityTag(7, 'a'));
  });

  test('differs wherever its parts do', () => {
    const tags = [
      entityTag(1, 'a', 'b'),
      entityTag(2, 'a', 'b'),
      entityTag(1, 'ab'),
      entityTag(1, 'a', 'c'),
      entityTag(1),
    ];
    expect(new Set(tags).size).toBe(tags.length);
  });
});

describe('If-None-Match', () => {
  const tag = '"7-x,y"';

  test.each(['"7-x,y"', ' "7-x,y" ', 'W/"7-x,y"', '"a", "7-x,y"', '"a",W/"7-x,y","b"', '*', ' * '])(
    'knows the tag in %j',
    (header) => {
      expect(isKnown(tag, header)).toBe(true);
    },
  );

  test.each([undefined, '', '7-x,y', '"7-x"', '"7-X,Y"', '"a", "b"', '"*"', '""', 'W/"a"', '"'])(
    'does not know it in %j',
    (header) => {
      expect(isKnown(tag, header)).toBe(false);
    },
  );
});
