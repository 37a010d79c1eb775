/** A view that is drawn again only when one of its properties is another one. */

import { type Component, type FunctionComponent, h } from "preact";

export function memo<P extends object>(View: FunctionComponent<P>): FunctionComponent<P> {
  function Memoised(this: Component<P>, props: P) {
    this.shouldComponentUpdate = (next) => differ(this.props, next);
    return h(View, props);
  }
  return Memoised;
}

function differ(one: object, other: object): boolean {
  const before = Object.entries(one);
  const after: Record<string, unknown> = { ...other };
  return (
    before.length !== Object.keys(after).length ||
    before.some(([name, value]) => !Object.is(value, after[name]))
  );
}
