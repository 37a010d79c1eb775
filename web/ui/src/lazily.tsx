/** A view in a chunk of its own, fetched when it is first needed; its place is kept meanwhile. */

import { type ComponentChildren, type FunctionComponent, h } from "preact";
import { useEffect, useState } from "preact/hooks";

export function lazily<P extends object>(
  fetch: () => Promise<FunctionComponent<P>>,
  place: (props: P) => ComponentChildren,
): FunctionComponent<P> {
  let known: FunctionComponent<P> | undefined;
  return function Lazily(props: P) {
    const [, draw] = useState(false);
    useEffect(() => {
      if (known) return;
      let wanted = true;
      fetch().then(
        (found) => {
          known = found;
          if (wanted) draw(true);
        },
        () => {}, // without a connection its place stays; the next time it is drawn it is tried
      );
      return () => {
        wanted = false;
      };
    }, []);
    return known ? h(known, props) : place(props);
  };
}
