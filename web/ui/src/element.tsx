/**
 * `<parlour-chat>`: the chat as an element of any page.
 *
 *     <script type="module" src="https://chat.example/static/parlour-chat.js"></script>
 *     <parlour-chat heading="Guest desk"></parlour-chat>
 *
 * Attributes: `heading`; `src`, the server's address, by default the script's own; `theme`
 * (`light`, `dark`); `lang`, by default the browser's; `standalone`, if the page is nothing else;
 * `shared`, to show what a link leads to and nothing else.
 */

import { render } from "preact";
import { App } from "./app";
import { Chat } from "./chat";
import { adoptAll } from "./styles";
import { type Language, speak } from "./texts";

// held in a variable, so that the bundler takes it for no asset
const here = import.meta.url;

export class ParlourChat extends HTMLElement {
  static observedAttributes = ["heading", "theme", "lang"];

  #chat: Chat | null = null;
  #language: Language | null = null;
  #end = () => {};

  async connectedCallback(): Promise<void> {
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    adoptAll(root);
    const base = new URL(this.getAttribute("src") ?? new URL("..", here), document.baseURI);
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    const token = this.getAttribute("shared");
    if (token) {
      const heading = this.getAttribute("heading") ?? "";
      const { showShared } = await import("./threads");
      await showShared(root, { base, token, heading });
      return;
    }
    this.#chat ??= new Chat({ base, standalone: this.hasAttribute("standalone") });
    this.#end = this.#chat.start();
    await this.#speak();
  }

  disconnectedCallback(): void {
    this.#end();
    if (this.shadowRoot) render(null, this.shadowRoot);
  }

  attributeChangedCallback(name: string): void {
    if (!this.#chat || !this.isConnected) return;
    if (name === "lang") void this.#speak();
    else this.#draw();
  }

  async #speak(): Promise<void> {
    const own = this.getAttribute("lang");
    this.#language = await speak(own ? [own] : navigator.languages);
    this.#draw();
  }

  #draw(): void {
    if (!this.#chat || !this.#language || !this.shadowRoot || !this.isConnected) return;
    const heading = this.getAttribute("heading") ?? "";
    const theme = this.getAttribute("theme") ?? "";
    const app = <App chat={this.#chat} language={this.#language} heading={heading} theme={theme} />;
    render(app, this.shadowRoot);
  }
}

if (!customElements.get("parlour-chat")) customElements.define("parlour-chat", ParlourChat);
