/**
 * As IAM compares names of actions and condition keys: A to Z alone. JavaScript takes the sign of Kelvin
 * (U+212A) for a `k`, so that a name which AWS does not know would be one here.
 */
export function lowerCase(name: string): string {
  return name.replaceAll(/[A-Z]+/gu, (letters) => letters.toLowerCase());
}

/** IAM's wildcards: `*` is any text, `?` one character. Linear in the text for each star. */
export function fitsGlob(text: string, pattern: string): boolean {
  let [textAt, patternAt] = [0, 0];
  // The last star: where it stands, and up to where it has taken the text so far.
  let star: { readonly patternAt: number; textAt: number } | null = null;
  while (textAt < text.length) {
    const wanted = pattern[patternAt];
    if (wanted === "*") {
      star = { patternAt, textAt };
      patternAt++;
    } else if (wanted !== undefined && (wanted === "?" || wanted === text[textAt])) {
      textAt++;
      patternAt++;
    } else if (star !== null) {
      star.textAt++;
      textAt = star.textAt;
      patternAt = star.patternAt + 1;
    } else {
      return false;
    }
  }
  while (pattern[patternAt] === "*") patternAt++;
  return patternAt === pattern.length;
}
