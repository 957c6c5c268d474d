import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Stores a compressed copy beside each file, so that the gateway never compresses anything itself. */
function compressFiles(): Plugin {
  return {
    name: "compress-files",
    apply: "build",
    writeBundle({ dir }) {
      for (const name of readdirSync(dir!, { recursive: true, encoding: "utf8" })) {
        if (!/\.(js|css|html|svg)$/.test(name)) continue;
        const content = readFileSync(join(dir!, name));
        writeFileSync(join(dir!, `${name}.br`), brotliCompressSync(content));
        writeFileSync(join(dir!, `${name}.gz`), gzipSync(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [compressFiles()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the content security policy allows only files
    modulePreload: { polyfill: false },
  },
  // `npm run dev` beside `./dev up`: the page from here with hot reload, the API from there.
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/api", "/ws"].map((path) => [
        path,
        { target: process.env["COMFYFLEET_URL"] ?? "http://127.0.0.1:8000", ws: true },
      ]),
    ),
  },
  test: { environment: "node", include: ["tests/**/*.test.ts"] },
});
