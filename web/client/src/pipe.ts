/**
 * How frames travel. A pipe carries messages of text both ways and ends once; what they say, and
 * when to open the next one, it does not know.
 */

/** A connection that is gone without a word. */
const LOST = 1006;

export interface Pipe {
  send(message: string): void;
  /** Ends it; `ended` is not called for it any more. */
  close(): void;
}

export interface PipeListener {
  opened(): void;
  heard(message: string): void;
  /** It is over, or never began. `code` is the WebSocket's, see docs/wire.md. */
  ended(code: number): void;
}

/** The seam for other ways to a server: all that a connection needs of one. */
export type OpenPipe = (listener: PipeListener) => Pipe;

/** Pipes that are WebSockets at `url`. */
export function webSocket(url: string): OpenPipe {
  return (listener) => {
    const socket = new WebSocket(url);
    socket.onopen = () => listener.opened();
    socket.onmessage = ({ data }) => typeof data === "string" && listener.heard(data);
    socket.onclose = ({ code }) => listener.ended(code);
    return {
      send: (message) => socket.send(message),
      close: () => {
        socket.onmessage = null;
        socket.onclose = null;
        socket.close();
      },
    };
  };
}

/** Pipes whose code is fetched when the first of them is opened. */
export function fetched(fetch: () => Promise<OpenPipe>): OpenPipe {
  return (listener) => {
    let pipe: Pipe | null = null;
    let closed = false;
    fetch().then(
      (open) => {
        if (!closed) pipe = open(listener);
      },
      () => closed || listener.ended(LOST),
    );
    return {
      send: (message) => pipe?.send(message),
      close: () => {
        closed = true;
        pipe?.close();
      },
    };
  };
}
