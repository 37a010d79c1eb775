/* Within a component's frame: fetches its module, shows it, and talks to the chat around. */

const root = document.documentElement;
const tell = (message) => parent.postMessage(message, "*");

let shown = null;

async function show(about) {
  const { theme, language, direction, colours, data } = about;
  root.style.colorScheme = theme;
  root.lang = language;
  root.dir = direction;
  for (const [name, value] of Object.entries(colours)) root.style.setProperty(`--${name}`, value);
  if (shown) {
    (await shown).update?.({ data, theme, language, direction });
    return;
  }
  shown = begin({ data, theme, language, direction });
  await shown;
}

async function begin(about) {
  const address = new URL(document.body.dataset.module, location.href);
  const { default: component } = await import(address.href);
  const life = await component({
    ...about,
    element: document.body,
    say: (text) => tell({ say: String(text) }),
    signal: (name, data = null) => tell({ signal: String(name), data }),
  });
  return life ?? {};
}

addEventListener("message", ({ source, data }) => {
  if (source === parent && data && typeof data === "object") void show(data);
});
new ResizeObserver(() => tell({ height: root.getBoundingClientRect().height })).observe(root);
tell({ ready: true });
