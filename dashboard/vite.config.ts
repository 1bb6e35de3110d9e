import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { compression } from 'vite-plugin-compression2';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The service that `npx vite dashboard` talks to. */
const SERVICE = 'http://127.0.0.1:3000';

/**
 * theme.js runs before the first paint, so it is no module, and no part of the bundle. Its name gets a hash as all others do:
 * browsers keep these files for a year.
 */
function earlyTheme(): Plugin {
  return {
    name: 'early-theme',
    apply: 'build',
    buildStart() {
      this.emitFile({ type: 'asset', name: 'theme.js', source: readFileSync(here('theme.js'), 'utf8') });
    },
    transformIndexHtml: {
      order: 'post',
      handler(_, { bundle = {} }) {
        const file = Object.values(bundle).find(
          (one) => one.type === 'asset' && one.names.includes('theme.js'),
        );
        if (!file) throw new Error('theme.js was not emitted');
        return [{ tag: 'script', attrs: { src: `/${file.fileName}` }, injectTo: 'head-prepend' }];
      },
    },
  };
}

export default defineConfig({
  root: here('.'),
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [
    earlyTheme(),
    // The service sends a file's .br or .gz where the browser takes one: compressed once, here.
    compression({ algorithms: ['brotliCompress', 'gzip'], include: /\.(js|css|html|svg)$/, threshold: 0 }),
  ],
  server: { proxy: { '/api': SERVICE, '/session': SERVICE } },
  build: {
    outDir: here('../dist/dashboard'),
    emptyOutDir: true,
    // What has light-dark(), nesting and :has(): all current browsers since spring 2024.
    target: ['chrome123', 'firefox121', 'safari17.5'],
    // A small file as a data: URL would be refused by the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
