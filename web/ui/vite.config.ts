import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { en } from "./src/texts/en";

/** KaTeX brings its fonts in three formats; `typeset.ts` adds those that browsers of today take. */
const withoutFontFaces: Plugin = {
  name: "without-font-faces",
  enforce: "pre",
  transform(code, id) {
    if (!/katex[^/]*\.css/.test(id)) return null;
    return code.replace(/@font-face\s*\{[^}]*\}/g, "");
  },
};

/** The names of the chat's texts, against which an app's own are checked. */
const namesOfTexts: Plugin = {
  name: "names-of-texts",
  generateBundle() {
    const source = JSON.stringify(Object.keys(en));
    this.emitFile({ type: "asset", fileName: "texts.json", source });
  },
};

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  publicDir: "page",
  plugins: [withoutFontFaces, namesOfTexts],
  build: {
    outDir: "../../src/parlour/web/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: "src/element.tsx",
      output: {
        entryFileNames: "static/parlour-chat.js",
        chunkFileNames: "static/[name]-[hash].js",
        assetFileNames: "static/[name]-[hash][extname]",
      },
    },
  },
});
