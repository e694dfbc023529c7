import { encodeHex } from "@countersign/attestation";

import type { ChatMessage } from "./completion.ts";
import type { Answer } from "./turn.ts";

/** What was said and verified, and what the next question is asked with. */
export class Conversation {
  #system: string | null;
  readonly #messages: ChatMessage[] = [];
  readonly #answers: Answer[] = [];

  constructor(system: string | null) {
    this.#system = system;
  }

  get system(): string | null {
    return this.#system;
  }

  set system(text: string | null) {
    this.#system = text;
  }

  get last(): Answer | null {
    return this.#answers.at(-1) ?? null;
  }

  /** The messages to send for `question`. */
  ask(question: string): readonly ChatMessage[] {
    const system: readonly ChatMessage[] =
      this.#system === null ? [] : [{ role: "system", content: this.#system }];
    return [...system, ...this.#messages, { role: "user", content: question }];
  }

  /** Takes a verified answer in. Nothing else may get here. */
  keep(question: string, answer: Answer): void {
    this.#messages.push({ role: "user", content: question });
    this.#messages.push({ role: "assistant", content: answer.text });
    this.#answers.push(answer);
  }

  /** Forgets what was said; the instructions stay. */
  reset(): void {
    this.#messages.length = 0;
    this.#answers.length = 0;
  }

  /** All of it as JSON, each answer with its exchange and its model. */
  encode(): string {
    const answers = this.#answers.map(({ exchange, claims }) => ({
      exchange,
      model: claims.model === null ? null : `${claims.model.id}@${claims.model.version}`,
      digest: claims.model === null ? null : encodeHex(claims.model.digest),
      seed: claims.outcome.seed ?? null,
    }));
    const messages = this.#messages.map((message, i) => {
      return message.role === "assistant" ? { ...message, ...answers[(i - 1) / 2] } : message;
    });
    return `${JSON.stringify({ version: 1, system: this.#system, messages }, null, 2)}\n`;
  }
}
