// Reads server-sent events: the bytes of a response's body in, JSON payloads out.

/** Cuts text that comes in any pieces into the payloads of its events. */
export class EventReader {
  #rest = "";
  #data = [];

  /** The payloads that this piece completes. Lines that begin with ":" keep the connection alive and say nothing. */
  feed(piece) {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop();
    const payloads = [];
    for (const line of lines.map((raw) => raw.replace(/\r$/, ""))) {
      if (line.startsWith("data:")) {
        this.#data.push(line.slice(5).replace(/^ /, ""));
      } else if (line === "" && this.#data.length) {
        payloads.push(this.#data.join("\n"));
        this.#data = [];
      }
    }
    return payloads;
  }
}

/** The chunks of a response's body, in order, each a parsed object. */
export async function* readChunks(body) {
  const reader = new EventReader();
  const pieces = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await pieces.read();
    if (done) return;
    for (const payload of reader.feed(value)) {
      if (payload !== "[DONE]") yield JSON.parse(payload);
    }
  }
}
