import fc from "fast-check";
import { renderToString } from "preact-render-to-string";
import { describe, expect, test } from "vitest";
import { Blocks } from "../src/markdown/blocks";
import { Markdown } from "../src/markdown/markdown";
import { isFormula } from "../src/markdown/math";
import { type Surroundings, SurroundingsContext } from "../src/surroundings";

const surroundings = { announce: () => {} } as unknown as Surroundings;

const html = (text: string) =>
  renderToString(
    <SurroundingsContext.Provider value={surroundings}>
      <Markdown text={text} whole />
    </SurroundingsContext.Provider>,
  );

describe("Markdown becomes elements", () => {
  test.each([
    ["one\ntwo\n\nthree", "<p>one<br/>two</p><p>three</p>"],
    ["# Title #", "<h2>Title</h2>"],
    ["#hashtag", "<p>#hashtag</p>"],
    ["**bold** *em* ~~no~~", "<p><strong>bold</strong> <em>em</em> <del>no</del></p>"],
    ["***both***", "<p><em><strong>both</strong></em></p>"],
    ["3*4*5 and some_long_name", "<p>3<em>4</em>5 and some_long_name</p>"],
    ["**open", "<p>**open</p>"],
    ["\\*plain\\* \\\\", "<p>*plain* \\</p>"],
    ["`a*b*c` and ``a`b``", "<p><code>a*b*c</code> and <code>a`b</code></p>"],
    ["a < b & c > d", "<p>a &lt; b &amp; c > d</p>"],
    ["&lt;b&gt; &copy; &#8364; &nope;", "<p>&lt;b> © € &amp;nope;</p>"],
    ["- a\n- b", "<ul><li>a</li><li>b</li></ul>"],
    ["- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"],
    ["- a\n  - b\n    - c", "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>"],
    ["7. a\n8. b", '<ol start="7"><li>a</li><li>b</li></ol>'],
    ["in 2026. And", "<p>in 2026. And</p>"],
    ["> a\n> > b", "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>"],
    ["a\n\n---\n\nb", "<p>a</p><hr/><p>b</p>"],
    ["[a](ftp://x) [b](/local)", "<p><span>a</span> <span>b</span></p>"],
    ["a<br>b", "<p>a<br/>b</p>"],
    ["", ""],
  ])("%j", (text, expected) => expect(html(text)).toBe(expected));

  test("nothing in it can do anything", () => {
    for (const attack of [
      "<img src=x onerror=pwned()>",
      "<script>pwned()</script>",
      "[click](javascript:pwned())",
      "[click]( JaVaScRiPt:pwned() )",
      "<javascript:pwned()>",
      "![picture](javascript:pwned())",
      "| <i>a</i> |\n|---|\n| <svg onload=pwned()> |",
    ]) {
      expect(html(attack)).not.toMatch(/<(img|script|svg|i)\b|href=/i);
    }
  });

  test("a picture from elsewhere is a link, so that reading it tells nobody", () => {
    expect(html("![a cat](https://example.org/cat.png)")).toContain(
      '<a href="https://example.org/cat.png" target="_blank" rel="noopener noreferrer">a cat</a>',
    );
  });

  test("a table has heads, rows and sides", () => {
    const table = html("| a | b |\n|:--|--:|\n| 1 | 2 \\| 3 |\n| 4 |");
    expect(table).toContain('<th scope="col" class="left">a</th><th scope="col" class="right">b');
    expect(table).toContain('<td class="right">2 | 3</td>');
  });
});

describe("while it grows", () => {
  const piece = fc.constantFrom(
    ..."# |- |\n|\n\n|  |text|**|`|```\n|1. |> || a | b |\n|---\n|$x$|$$|[l](http://a.b)|*|_|<b>|\r\n|👋🏽|\t"
      .split("|")
      .filter(Boolean),
    "| a | b |\n|---|---|\n",
  );
  const texts = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(""));

  test("it ends like what came at once", () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 9 }), (text, step) => {
        const growing = new Blocks();
        for (let end = 0; end < text.length; end += step) growing.update(text.slice(0, end), false);
        for (const whole of [false, true]) {
          const tokens = (blocks: Blocks) => blocks.update(text, whole).map(({ token }) => token);
          expect(tokens(growing)).toEqual(tokens(new Blocks()));
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a formula that is not closed yet is no list and no heading", () => {
    const types = (text: string) => new Blocks().update(text, false).map(({ token }) => token.type);
    expect(types("so\n\n$$\na\n- b\n= c\n")).toEqual(["paragraph", "text"]);
    expect(types("so\n\n$$\na\n- b\n= c\n$$")).toEqual(["paragraph", "math"]);
    expect(types("$$ is no formula\n\n- b")).toEqual(["paragraph", "list"]);
  });

  test("blocks that do not change keep their identity", () => {
    const blocks = new Blocks();
    const first = blocks.update("one\n\ntwo\n\nthree", false);
    const then = blocks.update("one\n\ntwo\n\nthree and more\n\nfour", false);
    expect(then.slice(0, 2)).toEqual(first.slice(0, 2));
    expect(then[0]).toBe(first[0]);
    expect(blocks.update("one\n\ntwo\n\nthree and more\n\nfour", true)[0]).toBe(first[0]);
  });

  test("a link that is defined at the end is one in the end", () => {
    const blocks = new Blocks();
    blocks.update("see [x]\n\na\n\nb\n\n[x]: http", false);
    expect(html("see [x]\n\na\n\nb\n\n[x]: http://a.b")).toContain('href="http://a.b"');
    const [first] = blocks.update("see [x]\n\na\n\nb\n\n[x]: http://a.b", true);
    expect(JSON.stringify(first?.token)).toContain("http://a.b");
  });

  test.each([
    "*",
    "_a",
    "`",
    "[",
    "](",
    "<",
    "> ",
    "- ",
    "**a ",
    "| ",
    "\\",
    "$",
    "1. ",
    "![",
    "$$",
  ])("hostile text takes no more than a moment: %j", (hostile) => {
    const before = performance.now();
    html(hostile.repeat(10_000));
    expect(performance.now() - before).toBeLessThan(4_000);
  });
});

describe("mathematics", () => {
  const formulas = (text: string) =>
    [...html(text).matchAll(/<span class="formula[^>]*>(.*?)<\/span>/gs)].map(([, inner]) => inner);

  test.each([
    ["It costs $4.2M, and $y=β_0$.", ["y=β_0"]],
    ["from $5 to $10", []],
    ["between $5-$10 a head", []],
    ["a $5, or 10$ more", []],
    ["$1,000 and $2,000.50", []],
    ["US$ 5 and CA$ 6", []],
    ["$x$ and $\\alpha$", ["x", "\\alpha"]],
    ["$2x + 1$ and $10^5$", ["2x + 1", "10^5"]],
    ["$a\n\\cdot b$", ["a\n\\cdot b"]],
    ["\\(a\\) and \\[b\\]", ["a", "b"]],
    ["$$\nx^2\n$$", ["x^2"]],
    ["so $$x^2$$ it is", ["x^2"]],
    ["\\$x\\$ and `$x$`", []],
    ["$$ open", []],
  ])("%j", (text, expected) => expect(formulas(text)).toEqual(expected));

  test("amounts of money are never formulas, whatever stands between them", () => {
    const amount = fc.integer({ min: 1, max: 9_999_999 }).map((cents) => `$${cents / 100}`);
    const words = fc.array(fc.constantFrom("and", "to", "for", "or", "costs", "a", "night"), {
      minLength: 1,
    });
    fc.assert(
      fc.property(amount, words, amount, (one, between, other) => {
        expect(formulas(`${one} ${between.join(" ")} ${other} it is`)).toEqual([]);
      }),
    );
  });

  test("prose is no formula", () => {
    expect(isFormula("or so and about that")).toBe(false);
    expect(isFormula("\\text{speed of light} = c")).toBe(true);
  });
});
