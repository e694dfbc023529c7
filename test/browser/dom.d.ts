// The names of the DOM that Playwright's declarations use. Our own code drives pages by role and
// text and touches no element, so test/ does without the whole library of the DOM.

interface Node {
  readonly nodeType: number;
}

interface HTMLElement extends Node {
  readonly tagName: string;
}

interface SVGElement extends Node {
  readonly tagName: string;
}

interface HTMLElementTagNameMap {
  readonly body: HTMLElement;
}
