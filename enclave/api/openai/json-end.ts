/** Finds where the JSON object ends that comes piece by piece. */
export class JsonEnd {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #ended = false;

  /** What of `text` belongs to the object, which is known to be JSON and to begin at once. */
  push(text: string): string {
    if (this.#ended) return "";
    for (let at = 0; at < text.length; at++) {
      if (!this.#step(text[at])) continue;
      this.#ended = true;
      return text.slice(0, at + 1);
    }
    return text;
  }

  /** Whether the object ends with this character. */
  #step(character: string | undefined): boolean {
    if (this.#escaped) {
      this.#escaped = false;
    } else if (this.#inString) {
      if (character === "\\") this.#escaped = true;
      else if (character === '"') this.#inString = false;
    } else if (character === '"') {
      this.#inString = true;
    } else if (character === "{" || character === "[") {
      this.#depth++;
    } else if (character === "}" || character === "]") {
      this.#depth--;
      return this.#depth === 0;
    }
    return false;
  }
}
